package midhooktest_test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/midhooktest"
)

// Rule: a sound gateway passes, whatever its sender is like.
func TestTestGateway(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]midhooktest.GatewayTest{
		"retries":    courierTest(newCourier(), midhooktest.MidtransRetries()),
		"no retries": courierTest(leaving{newCourier()}, midhooktest.NoRetries()),
		"JSON":       courierTest(picky{newCourier(func(c *courier) { c.answer = answerJSON }), acceptsJSON}, midhooktest.PayMongoRetries()),
		"inside":     insideTest(newCourier()),
		"unsigned":   unsignedTest(asking{courier: newCourier()}),
		"no rotation": func() midhooktest.GatewayTest {
			g := courierTest(newCourier(), midhooktest.MidtransRetries())
			g.NextSecret = ""
			return g
		}(),
	} {
		t.Run(name, func(t *testing.T) { midhooktest.TestGateway(t, g) })
	}
}

func FuzzCourier(f *testing.F) {
	midhooktest.FuzzGateway(f, courierTest(newCourier(), midhooktest.MidtransRetries()))
}

func FuzzCourierInside(f *testing.F) { midhooktest.FuzzGateway(f, insideTest(newCourier())) }

// allCases are those of TestGateway.
var allCases = []string{
	"handled", "methods", "answers", "samples", "by-default", "unknown", "duplicate", "subjects", "shared-store", "at-once", "failure", "panic", "store", "budget", "late-failure", "hang-up", "retries", "forgery", "garbage", "rotation",
}

func allCasesBut(others ...string) []string {
	return slices.DeleteFunc(slices.Clone(allCases), func(name string) bool { return slices.Contains(others, name) })
}

// brokenGateway in the environment makes the tests of broken gateways fail.
const brokenGateway = "MIDHOOKTEST_BROKEN_GATEWAY"

func skipUnlessAsked(t testing.TB) {
	if os.Getenv(brokenGateway) == "" {
		t.Skip("it is TestTestGatewayFindsMistakes that runs this")
	}
}

func TestOfABrokenGateway(t *testing.T) {
	skipUnlessAsked(t)
	for name, b := range brokenGateways() {
		t.Run(name, func(t *testing.T) { midhooktest.TestGateway(t, b.test) })
	}
}

// FuzzOfABrokenGateway and FuzzOfABrokenGatewayInside have no corpus: the seeds must
// find the mistake.
func FuzzOfABrokenGateway(f *testing.F) {
	skipUnlessAsked(f)
	midhooktest.FuzzGateway(f, retried(matching(func(given, want string) bool { return given == "" || given == want })))
}

func FuzzOfABrokenGatewayInside(f *testing.F) {
	skipUnlessAsked(f)
	midhooktest.FuzzGateway(f, insideTest(newCourier(matching(func(string, string) bool { return true }))))
}

// Rule: a mistake fails the case whose rule it breaks, no other, and the rule and
// what is wrong are printed. A process of its own is asked, for only there may a test
// fail; it must get to the end, whatever a broken gateway leaves running.
func TestTestGatewayFindsMistakes(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^(Test|Fuzz)OfABrokenGateway", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), brokenGateway+"=1")
	out, err := cmd.CombinedOutput()
	exit, failed := errors.AsType[*exec.ExitError](err)
	require.True(t, failed && exit.ExitCode() == 1, "%v\n%s", err, out)
	require.NotContains(t, string(out), "\npanic: ")

	printed, failures := map[string]string{}, map[string][]string{} // by mistake
	header := regexp.MustCompile(`^ +--- FAIL: TestOfABrokenGateway/([^/]*)(?:/(.*))? \(`)
	var mistake, name string
	for line := range strings.Lines(string(out)) {
		if m := header.FindStringSubmatch(line); m != nil {
			mistake, name = m[1], m[2]
			printed[mistake] += "" // there is one
			if name != "" {
				failures[mistake] = append(failures[mistake], name)
			}
			continue
		}
		printed[mistake] += line
	}
	for name, b := range brokenGateways() {
		t.Run(name, func(t *testing.T) {
			mistake := strings.ReplaceAll(name, " ", "_")
			text, failed := printed[mistake]
			require.True(t, failed, "it was not found")
			assert.ElementsMatch(t, b.cases, failures[mistake], "the cases that fail")
			assert.Equal(t, len(b.cases), strings.Count(text, "The rule: "), "each says its rule, in\n%s", text)
			for _, says := range b.says {
				assert.Contains(t, text, says)
			}
		})
	}
	assert.Contains(t, printed["compares_the_end"], "The rule: What the sender did not sign reaches neither the handler nor the store, and is refused.\n")
	for _, name := range []string{"FuzzOfABrokenGateway", "FuzzOfABrokenGatewayInside"} {
		assert.Regexp(t, `--- FAIL: `+name+`/seed#\d+ .*\n.*handed on, though the sender did not sign it:`, string(out))
	}
}
