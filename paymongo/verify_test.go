package paymongo_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook"
	"github.com/midhook/midhook/paymongo"
)

// Rule: the formula is the documented one.
func TestVerifyExample(t *testing.T) {
	assert.NoError(t, paymongo.Verify([]byte(vectorBody), "t="+vectorTime+",te="+vectorDigest+",li=", testSecret))
}

// Rule: what other implementations get wrong does not verify.
func TestVerifyClassicMistakes(t *testing.T) {
	const t0 = vectorTime
	test, live := []byte(vectorBody), paid("evt_1", true)
	base64Secret := "whsk_" + base64.StdEncoding.EncodeToString([]byte("SECRET"))
	var decoded any
	require.NoError(t, json.Unmarshal(live, &decoded))
	reserialised, err := json.Marshal(decoded)
	require.NoError(t, err)

	for _, c := range []struct {
		rule   string
		body   []byte
		header string
		secret string
		ok     bool
	}{
		{"a test event in te", test, "t=" + t0 + ",te=" + sign(testSecret, t0+"."+vectorBody) + ",li=", testSecret, true},
		{"a live event in li", live, "t=" + t0 + ",te=,li=" + sign(testSecret, t0+"."+string(live)), testSecret, true},
		{"a live event in li, whatever is in te", live, "t=" + t0 + ",te=" + vectorDigest + ",li=" + sign(testSecret, t0+"."+string(live)), testSecret, true},
		{"a live event in te", live, "t=" + t0 + ",te=" + sign(testSecret, t0+"."+string(live)) + ",li=", testSecret, false},
		{"a test event in li", test, "t=" + t0 + ",te=,li=" + vectorDigest, testSecret, false},
		{"the time left out", test, "t=" + t0 + ",te=" + sign(testSecret, vectorBody) + ",li=", testSecret, false},
		{"the dot left out", test, "t=" + t0 + ",te=" + sign(testSecret, t0+vectorBody) + ",li=", testSecret, false},
		{"another time", test, "t=1496734174,te=" + vectorDigest + ",li=", testSecret, false},
		{"the time with a zero in front", test, "t=0" + t0 + ",te=" + vectorDigest + ",li=", testSecret, false},
		{"the secret without its prefix", test, "t=" + t0 + ",te=" + sign("test", t0+"."+vectorBody) + ",li=", testSecret, false},
		{"the secret base64-decoded", test, "t=" + t0 + ",te=" + sign("SECRET", t0+"."+vectorBody) + ",li=", base64Secret, false},
		{"the secret as it is", test, "t=" + t0 + ",te=" + sign(base64Secret, t0+"."+vectorBody) + ",li=", base64Secret, true},
		{"the body re-serialised", reserialised, headerOf(testSecret, t0, live, true), testSecret, false},
		{"the body with a line end", append(live[:len(live):len(live)], '\n'), headerOf(testSecret, t0, live, true), testSecret, false},
		{"empty parts", test, "t=" + t0 + ",te=,li=", testSecret, false},
		{"no parts", test, "t=" + t0, testSecret, false},
		{"the digest of an empty body", nil, "t=" + t0 + ",te=" + sign(testSecret, t0+".") + ",li=" + sign(testSecret, t0+"."), testSecret, false},
		{"an empty secret", test, "t=" + t0 + ",te=" + sign("", t0+"."+vectorBody) + ",li=", "", false},
		{"an API key that signed", test, "t=" + t0 + ",te=" + sign("sk_test_x", t0+"."+vectorBody) + ",li=", "sk_test_x", false},
		{"a secret with a line end that signed", test, "t=" + t0 + ",te=" + sign("whsk_test\n", t0+"."+vectorBody) + ",li=", "whsk_test\n", false},
		{"livemode changed", []byte(strings.Replace(vectorBody, "false", "true", 1)), "t=" + t0 + ",te=" + vectorDigest + ",li=" + vectorDigest, testSecret, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			err := paymongo.Verify(c.body, c.header, c.secret)
			if c.ok {
				assert.NoError(t, err)
				return
			}
			if c.body == nil {
				assert.ErrorIs(t, err, midhook.ErrMalformed) // it is signed, but there is nothing
			} else {
				assert.ErrorIs(t, err, midhook.ErrSignature)
			}
			assert.NotContains(t, err.Error(), "SECRET")
		})
	}
}

// Rule: the header's grammar.
func TestVerifyHeader(t *testing.T) {
	const (
		tm = "t=" + vectorTime
		te = "te=" + vectorDigest
		li = "li="
	)
	for _, c := range []struct {
		name, header string
		err          string // "": verifies; "-": does not, for no reason that is told
	}{
		{"as documented", tm + "," + te + "," + li, ""},
		{"in another order", li + "," + te + "," + tm, ""},
		{"without the empty part", tm + "," + te, ""},
		{"with spaces", " " + tm + " , " + te + " ,\t" + li + " ", ""},
		{"with an unknown part", tm + "," + te + "," + li + ",v2=abc", ""},
		{"with an unknown part twice", "x=1,x=2," + tm + "," + te, ""},
		{"with unknown parts without a value", "x,," + tm + "," + te + ",", ""},
		{"with an upper-case digest", tm + ",te=" + strings.ToUpper(vectorDigest), ""},

		{"empty", "", "t must be of digits only"},
		{"without t", te + "," + li, "t must be of digits only"},
		{"with t empty", "t=," + te, "t must be of digits only"},
		{"with t negative", "t=-" + vectorTime + "," + te, "t must be of digits only"},
		{"with t signed", "t=+" + vectorTime + "," + te, "t must be of digits only"},
		{"with t a decimal", tm + ".0," + te, "t must be of digits only"},
		{"with a space in front of t's value", "t= " + vectorTime + "," + te, "t must be of digits only"},
		{"with t in other digits", "t=١٤٩٦٧٣٤١٧٣," + te, "t must be of digits only"},
		{"with t twice", tm + "," + tm + "," + te, "t is given twice"},
		{"with te twice", tm + "," + te + "," + te, "te is given twice"},
		{"with te twice, once empty", tm + ",te=," + te, "te is given twice"},
		{"with te twice, once without a value", tm + ",te," + te, "te is given twice"},
		{"with li twice", tm + "," + te + ",li=,li=", "li is given twice"},
		{"two headers in one", tm + "," + te + "," + li + ", " + tm + "," + te + "," + li, "t is given twice"},

		{"without te", tm + "," + li, "-"},
		{"with names in upper case", tm + ",TE=" + vectorDigest, "-"},
		{"with a space in front of the equals sign", tm + ",te =" + vectorDigest, "-"},
		{"with a space in front of the digest", tm + ",te= " + vectorDigest, "-"},
		{"with a digest one digit short", tm + "," + te[:len(te)-1], "-"},
		{"with a digest one digit long", tm + "," + te + "0", "-"},
		{"with a digest twice as long", tm + "," + te + vectorDigest, "-"},
		{"with a digest that is no number", tm + "," + te[:len(te)-1] + "g", "-"},
		{"with a digest of zeros", tm + ",te=" + strings.Repeat("0", 64), "-"},
		{"with a quoted digest", tm + `,te="` + vectorDigest + `"`, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := paymongo.Verify([]byte(vectorBody), c.header, testSecret)
			switch c.err {
			case "":
				assert.NoError(t, err)
			case "-":
				assert.Equal(t, midhook.ErrSignature, err)
			default:
				assert.ErrorIs(t, err, midhook.ErrSignature)
				assert.ErrorContains(t, err, c.err)
				assert.NotContains(t, err.Error(), vectorTime)
				assert.NotContains(t, err.Error(), vectorDigest[:8])
			}
		})
	}
}

// Rule: a digest of which only the beginning is one does not stand for zeros.
func TestVerifyHalfDigest(t *testing.T) {
	for i := 0; ; i++ {
		header := headerOf(testSecret, fmt.Sprint(i), []byte(vectorBody), false)
		if whole, found := strings.CutSuffix(header, "00,li="); found {
			assert.NoError(t, paymongo.Verify([]byte(vectorBody), header, testSecret))
			assert.ErrorIs(t, paymongo.Verify([]byte(vectorBody), whole+"0g,li=", testSecret), midhook.ErrSignature)
			return
		}
	}
}

// Rule: one right secret is enough, wherever it stands.
func TestVerifySecrets(t *testing.T) {
	body := paid("evt_1", true)
	header := headerOf(testSecret, vectorTime, body, true)
	for _, secrets := range [][]string{
		{testSecret}, {testSecret, otherSecret}, {otherSecret, testSecret}, {otherSecret, testSecret, "whsk_third"}, {"", testSecret}, {"sk_live_x", testSecret},
	} {
		assert.NoError(t, paymongo.Verify(body, header, secrets...), "%v", secrets)
	}
	for _, secrets := range [][]string{nil, {}, {""}, {otherSecret}, {otherSecret, "whsk_third"}, {"whsk_"}, {"whsk_Test"}, {"whsk_tes"}} {
		assert.ErrorIs(t, paymongo.Verify(body, header, secrets...), midhook.ErrSignature, "%v", secrets)
	}
}

// Rule: a stranger's body is not read, so he learns nothing of what would be
// read; an authentic one that cannot be read is malformed.
func TestVerifySignatureFirst(t *testing.T) {
	for _, body := range []string{"", "no JSON", `{"data":{}}`, `{"data":{"id":"evt_1","attributes":{"type":"x","livemode":"true"}}}`} {
		digest := sign(testSecret, vectorTime+"."+body)
		assert.ErrorIs(t, paymongo.Verify([]byte(body), "t="+vectorTime+",li="+digest, testSecret), midhook.ErrMalformed, body)
		assert.ErrorIs(t, paymongo.Verify([]byte(body), "t="+vectorTime+",te="+digest, testSecret), midhook.ErrMalformed, body)
		assert.Equal(t, midhook.ErrSignature, paymongo.Verify([]byte(body), "t="+vectorTime+",li="+digest, otherSecret), body)
		assert.Equal(t, midhook.ErrSignature, paymongo.Verify([]byte(body), "t="+vectorTime+",te="+vectorDigest, testSecret), body)
	}
}

// Rule: a signature verifies with the secret that made it and no other, for
// exactly the body, time and mode that it was made for.
func FuzzVerify(f *testing.F) {
	f.Add("evt_1", true, uint32(1496734173), "test", "other", uint16(3), byte(1))
	f.Add("a\"b", false, uint32(0), "x", "", uint16(65535), byte(128))
	f.Fuzz(func(t *testing.T, id string, livemode bool, seconds uint32, key, other string, at uint16, flip byte) {
		quoted, err := json.Marshal(id)
		require.NoError(t, err)
		body := fmt.Appendf(nil, `{"data":{"id":%s,"attributes":{"type":"x","livemode":%t}}}`, quoted, livemode)
		secret, wrong := "whsk_"+key, "whsk_"+other
		if secret != wrong && strings.TrimRight(secret, "\x00") == strings.TrimRight(wrong, "\x00") {
			t.Skip("to HMAC, which fills up a key with zeros, they are one secret")
		}
		_, err = paymongo.New(secret)
		usable := err == nil
		time := fmt.Sprint(seconds)
		header := headerOf(secret, time, body, livemode)

		err = paymongo.Verify(body, header, wrong, secret)
		switch {
		case !usable:
			require.ErrorIs(t, err, midhook.ErrSignature)
			return
		case id == "":
			require.ErrorIs(t, err, midhook.ErrMalformed)
			return
		}
		require.NoError(t, err)
		if wrong != secret {
			require.ErrorIs(t, paymongo.Verify(body, header, wrong), midhook.ErrSignature)
		}
		require.ErrorIs(t, paymongo.Verify(body, headerOf(secret, time, body, !livemode), secret), midhook.ErrSignature)
		require.ErrorIs(t, paymongo.Verify(body, strings.Replace(header, "t="+time, "t="+time+"0", 1), secret), midhook.ErrSignature)
		if flip != 0 {
			changed := append([]byte(nil), body...)
			changed[int(at)%len(changed)] ^= flip
			require.ErrorIs(t, paymongo.Verify(changed, header, secret), midhook.ErrSignature)
		}
	})
}

// Rule: no header panics, and one verifies only if it has t and te once each,
// and those of the example.
func FuzzVerifyHeader(f *testing.F) {
	f.Add("t=" + vectorTime + ",te=" + vectorDigest + ",li=")
	f.Add(" li= , x=y,te=" + strings.ToUpper(vectorDigest) + "\t,t=" + vectorTime)
	f.Add("t=1,t=2,te,li==,,")
	f.Fuzz(func(t *testing.T, header string) {
		err := paymongo.Verify([]byte(vectorBody), header, testSecret)
		got := map[string][]string{}
		for _, part := range strings.Split(header, ",") {
			name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
			got[name] = append(got[name], value)
		}
		right := len(got["t"]) == 1 && got["t"][0] == vectorTime &&
			len(got["te"]) == 1 && strings.ToLower(got["te"][0]) == vectorDigest &&
			len(got["li"]) <= 1
		if right {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, midhook.ErrSignature)
		}
	})
}
