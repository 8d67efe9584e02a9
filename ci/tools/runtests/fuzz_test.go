package main

import "testing"

// Rule: only the end of the time is tried again, never a find.
func TestFoundNothing(t *testing.T) {
	for text, want := range map[string]bool{
		`{"Action":"output","Output":"    context deadline exceeded\n"}`:                                                        true,
		`{"Output":"context deadline exceeded\n"}` + "\n" + `{"Output":"    Failing input written to testdata/fuzz/FuzzX/1\n"}`: false,
		`{"Output":"--- FAIL: FuzzX\n"}`: false,
	} {
		if got := foundNothing([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
