"""Small programs that the tests run, kill and read back; each is started as a process of its own."""
