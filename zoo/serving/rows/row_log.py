"""`RowLog`: what a user should know of the rows that are predicted."""

import dataclasses

from zoo.errors import UserError


@dataclasses.dataclass
class RowLog:
    """Notes on the files of rows, and the rows that cannot be read or predicted.

    Attributes:
        skip_bad_rows: Whether such rows are left out; otherwise the first one raises an error.
        notes: Sentences for the user on what was decided while the files were read.
        bad_rows: What is wrong with each row that is left out, with its place.
    """

    skip_bad_rows: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)
    bad_rows: list[str] = dataclasses.field(default_factory=list)

    def report_bad_row(self, message: str) -> None:
        """Adds a row that is left out.

        Raises:
            UserError: with the message, if bad rows are not left out.
        """
        if not self.skip_bad_rows:
            raise UserError(message)
        self.bad_rows.append(message)

    def take_notes(self) -> list[str]:
        """Returns the notes that were not taken yet."""
        notes, self.notes = self.notes, []
        return notes
