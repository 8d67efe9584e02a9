package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/midhook/midhook"
)

// docs/answers.md has every outcome, and the status with which midhook answers it.
func TestAnswersPageIsComplete(t *testing.T) {
	root, _ := repository(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "answers.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z_]+)`")
	answers := map[string]string{} // by outcome
	for line := range strings.Lines(string(page)) {
		columns := strings.Split(line, "|")
		if len(columns) != 6 {
			continue
		}
		for _, name := range named.FindAllStringSubmatch(columns[2], -1) {
			answers[name[1]] += columns[3]
		}
	}
	for o := midhook.OutcomeHandled; !strings.HasPrefix(o.String(), "Outcome("); o++ {
		answer, there := answers[o.String()]
		delete(answers, o.String())
		status, _, _ := midhook.PlainAnswer(o)
		switch {
		case !there:
			t.Errorf("docs/answers.md does not have %s", o)
		case o == midhook.OutcomeHandled, o == midhook.OutcomeHandlerPanicked: // the handler's own, or the recovery's
		case !strings.Contains(answer, strconv.Itoa(status)):
			t.Errorf("docs/answers.md has %s with%s, and the answer is %d", o, answer, status)
		}
	}
	for name := range answers {
		t.Errorf("docs/answers.md has %s, which is no outcome", name)
	}
}
