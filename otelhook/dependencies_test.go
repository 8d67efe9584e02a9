package otelhook_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Rule: the package needs OpenTelemetry's API alone, and the core needs nothing of it.
func TestDependencies(t *testing.T) {
	list := func(pkg string) []string {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
		require.NoError(t, err)
		return strings.Fields(string(out))
	}
	own := list(".")
	require.Contains(t, own, "go.opentelemetry.io/otel/metric")
	for _, path := range own {
		assert.NotContains(t, path, "go.opentelemetry.io/otel/sdk")
		assert.NotContains(t, path, "go.opentelemetry.io/otel/exporters")
	}
	for _, path := range list("github.com/midhook/midhook") {
		assert.NotContains(t, path, "opentelemetry")
	}
}
