"""What happens when somebody wants to read, flood or break what we keep."""

from tests.reliability.row import Row

__all__ = ("SECURITY",)

SECURITY = (
    Row(
        "the journal at rest",
        "0600 in 0700, no symlinks followed, no stranger's directory",
        (
            "journal/test_writer.py::test_files_are_private_and_so_is_the_directory",
            "journal/test_faults.py::test_a_directory_that_is_exchanged_for_a_link_is_not_followed",
            "journal/test_faults.py::test_a_directory_of_another_user_or_without_the_right_to_write_is_refused",
        ),
    ),
    Row(
        "an address with a password in a message",
        "neither user information nor query is shown",
        ("bridge/test_http.py::test_the_key_tells_destinations_apart_and_nothing_shows_a_secret",),
    ),
    Row(
        "WebSocket hijack, a slow WebSocket consumer, JUnit XML, YAML",
        "refused or bounded",
        why_not="no live server and no importer is built yet",
    ),
    Row(
        "supply chain",
        "hashed requirements, few dependencies",
        why_not="held by `requirements/*.txt` with hashes, not by a test of behaviour",
    ),
)
