package redact

import (
	"log/slog"
	"slices"
)

// Mark is the member by which JSON that midhook printed is told from what a sender
// posted. A summary may have every field that a parser requires, and would then be
// read as the whole body without an error.
const Mark = "printed_by"

// MarkedJSON is [JSON] with the Mark, so that a parser can refuse the text.
func MarkedJSON(attrs []slog.Attr) ([]byte, error) {
	return JSON(append(slices.Clip(attrs), slog.String(Mark, "midhook")))
}
