package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A person is told every two seconds, and nothing after the end.
func TestTellEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		stop := tellEvery(silence, &told, "attack")
		time.Sleep(5 * time.Second)
		stop()
		time.Sleep(5 * time.Second)
		assert.Equal(t, "midhook attack: still at work after 2 s; Ctrl-C ends it\nmidhook attack: still at work after 4 s; Ctrl-C ends it\n", told.String())
	})
	var told bytes.Buffer
	tellProgress(&told, "attack")()
	assert.Empty(t, told.String())
}
