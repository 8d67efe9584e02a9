package main

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"

	"github.com/midhook/midhook"
)

// variant is what a value may have been when it was signed.
type variant struct {
	value   string
	problem string // "" for the value as it is
}

// explain looks for what would make the signature match, with as few changes as
// possible: none, if it matches as it is.
func (f signedFields) explain(key string) (found []culprit, ok bool) {
	names := f.names()
	given := f.text("signature_key")
	signature := strings.ToLower(strings.TrimSpace(given))
	var lists [3][]variant
	for i, name := range names {
		lists[i] = variants(name, f.text(name))
	}
	fewest := 5
	for _, k := range keyVariants(key) {
		for _, a := range lists[0] {
			for _, b := range lists[1] {
				for _, c := range lists[2] {
					changed := blamed(names, k, a, b, c)
					if len(changed) < fewest && matches(signature, a.value+b.value+c.value+k.value) {
						found, fewest, ok = changed, len(changed), true
					}
				}
			}
		}
	}
	if !ok {
		found, ok = f.otherCode(names, signature, key)
	}
	if ok {
		switch {
		case len(signature) < 128:
			found = append(found, culprit{"signature_key", fmt.Sprintf("it is cut short, to %d of 128 digits", len(signature))})
		case given != strings.TrimSpace(given):
			found = append(found, culprit{"signature_key", "it has white space around it"})
		}
	}
	return found, ok
}

// otherCode looks for a status_code that was signed instead.
func (f signedFields) otherCode(names [3]string, signature, key string) (found []culprit, ok bool) {
	for code := 100; code < 1000; code++ {
		text := ""
		for _, name := range names {
			if name == "status_code" {
				text += strconv.Itoa(code)
			} else {
				text += f.text(name)
			}
		}
		if matches(signature, text+key) {
			return []culprit{{"status_code", fmt.Sprintf("%d was signed, and the body has %q: someone changed it", code, f.text("status_code"))}}, true
		}
	}
	return nil, false
}

// matches compares a signature, perhaps cut short, with that of a text. It need
// not take care of time: whoever runs this has the key.
func matches(signature, text string) bool {
	digest := sha512.Sum512([]byte(text))
	return len(signature) >= 32 && strings.HasPrefix(hex.EncodeToString(digest[:]), signature)
}

func blamed(names [3]string, key variant, values ...variant) (found []culprit) {
	if key.problem != "" {
		found = append(found, culprit{"server key", key.problem})
	}
	for i, v := range values {
		if v.problem != "" {
			found = append(found, culprit{names[i], v.problem})
		}
	}
	return found
}

// keyVariants are what a key may be that was copied carelessly.
func keyVariants(key string) []variant {
	list := []variant{{key, ""}}
	add := func(value, problem string) {
		for _, v := range list {
			if v.value == value {
				return
			}
		}
		list = append(list, variant{value, problem})
	}
	add(strings.TrimSpace(key), "it has white space around it")
	add(strings.Join(strings.Fields(key), ""), "it has white space in it")
	bare := strings.TrimSpace(key)
	add(strings.Trim(bare, `"'`+"`"), "it has quotation marks around it")
	add(strings.TrimSuffix(bare, ":"), "it ends with a colon, which belongs to Basic authentication")
	add(strings.TrimPrefix(bare, keyVariable+"="), "it begins with the name of its variable")
	if text, err := base64.StdEncoding.DecodeString(bare); err == nil {
		add(strings.TrimSuffix(string(text), ":"), "it is in base64, as for Basic authentication")
	}
	if rest, ok := strings.CutPrefix(bare, "SB-"); ok {
		add(rest, "the other environment's was used: the same without SB- in front, production's")
	} else {
		add("SB-"+bare, "the other environment's was used: the same with SB- in front, the sandbox's")
	}
	if strings.Contains(bare, clientKey) {
		add(strings.Replace(bare, clientKey, "Mid-server-", 1), "it is called a client key: the server key is required")
	}
	return list
}

// variants are what a field may have been.
func variants(name, text string) []variant {
	list := []variant{{text, ""}}
	add := func(value, problem string) {
		for _, v := range list {
			if v.value == value {
				return
			}
		}
		list = append(list, variant{value, problem})
	}
	switch name {
	case "order_id", "account_id":
		trimmed := strings.TrimSpace(text)
		add(trimmed, "it has white space around it that was not signed")
		for _, space := range []string{" ", "\t", "\n", "\r\n", "\u00a0"} {
			add(text+space, fmt.Sprintf("it was trimmed: %q was signed", text+space))
			add(space+text, fmt.Sprintf("it was trimmed: %q was signed", space+text))
		}
		if plain, err := url.QueryUnescape(text); err == nil {
			add(plain, fmt.Sprintf("it was escaped for a URL: %q was signed", plain))
		}
		for _, changed := range []string{url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text), html.UnescapeString(text)} {
			add(changed, fmt.Sprintf("it was escaped, or escapes were taken out: %q was signed", changed))
		}
		for _, changed := range []string{strings.ToLower(text), strings.ToUpper(text)} {
			add(changed, fmt.Sprintf("its case was changed: %q was signed", changed))
		}
	case "account_status":
		for _, changed := range []string{strings.TrimSpace(text), strings.ToUpper(text), strings.ToLower(text)} {
			add(changed, fmt.Sprintf("it was changed: %q was signed", changed))
		}
	case "status_code":
		digits := onlyDigits(text)
		add(digits, fmt.Sprintf("it is not three digits: %q was signed", digits))
		if len(digits) > 3 {
			add(digits[:3], fmt.Sprintf("it is not three digits: %q was signed", digits[:3]))
			add(digits[len(digits)-3:], fmt.Sprintf("it is not three digits: %q was signed", digits[len(digits)-3:]))
		}
	case "gross_amount":
		for _, value := range amounts(text) {
			problem := fmt.Sprintf("it was reformatted: %q was signed, and the body has %q", value, text)
			if _, err := midhook.ParseAmount(value); err != nil {
				problem = fmt.Sprintf("%q was signed instead of %q: whoever signs must take it with two decimals, as Midtrans does", value, text)
			}
			add(value, problem)
		}
	}
	return list
}

// amounts are the ways to write what an amount may mean: with and without
// decimals, with points and commas between thousands.
func amounts(text string) (list []string) {
	digits := onlyDigits(text)
	meanings := [][2]string{{digits, "00"}}
	if len(digits) > 2 {
		meanings = append(meanings, [2]string{digits[:len(digits)-2], digits[len(digits)-2:]})
	}
	if i := strings.LastIndexAny(text, ".,"); i >= 0 {
		units, decimals := onlyDigits(text[:i]), onlyDigits(text[i+1:])
		meanings = append(meanings, [2]string{units, (decimals + "00")[:2]})
	}
	if v, err := strconv.ParseFloat(text, 64); err == nil && v > 0 && v < 1e15 { // 1e+06
		units, decimals, _ := strings.Cut(strconv.FormatFloat(v, 'f', 2, 64), ".")
		meanings = append(meanings, [2]string{units, decimals})
	}
	list = append(list, strings.TrimSpace(text))
	for _, m := range meanings {
		units, decimals := m[0], m[1]
		if units = strings.TrimLeft(units, "0"); units == "" {
			units = "0"
		}
		list = append(list,
			units+"."+decimals, units, units+"."+decimals[:1], units+","+decimals,
			thousands(units, ",")+"."+decimals, thousands(units, ".")+","+decimals,
			thousands(units, ","), thousands(units, "."), thousands(units, " "))
	}
	return list
}

func thousands(units, separator string) string {
	for i := len(units) - 3; i > 0; i -= 3 {
		units = units[:i] + separator + units[i:]
	}
	return units
}

func onlyDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}
