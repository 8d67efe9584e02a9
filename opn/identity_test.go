package opn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/midhook/midhook"
)

// Rule: the identity is the event's id, for good, and no other gateway's.
func TestIdentity(t *testing.T) {
	e := parse(t, testBody)
	assert.Equal(t, "0be4e9966173abb2744f053951dcc53cec1f100a4838d672b6218e11a41181fa", e.IdempotencyKey(), "stable: it is in merchants' databases")
	listed := parse(t, strings.Replace(chargeEvent("evnt_test_1"), `"object":"event"`, `"webhook_deliveries":[]`, 1))
	assert.Equal(t, e.IdempotencyKey(), listed.IdempotencyKey())
	assert.NotEqual(t, e.IdempotencyKey(), parse(t, chargeEvent("evnt_test_2")).IdempotencyKey())

	msg := e.Message("next")
	assert.Equal(t, midhook.Message{Value: e, Key: e.IdempotencyKey(), KeyLabel: "next"}, msg, "no order is documented, so none supersedes another")
}
