// Package identity names events and subjects for a store.
package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Digest hashes parts, each behind its length, so that no two lists of parts give
// the same bytes. The first part says what is named, so that several gateways can
// share a store.
func Digest(parts ...string) string {
	b := make([]byte, 0, 256) // enough for what is named most, and little on a stack
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return string(hex.AppendEncode(b[:0], sum[:]))
}
