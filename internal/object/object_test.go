package object_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/midhook/midhook/internal/object"
)

type inner struct {
	Name string          `json:"name"`
	At   int64           `json:"at"`
	Any  json.RawMessage `json:"any"`
}

type outer struct {
	ID    string  `json:"id"`
	Live  bool    `json:"live"`
	Inner inner   `json:"inner"`
	Items []inner `json:"items"`
	Not   string  `json:"-"`
}

var table = object.TableOf[outer]()

func decode(body string) (outer, error) {
	var o outer
	err := table.Decode([]byte(body), body, &o, nil)
	return o, err
}

func TestDecode(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       outer
	}{
		{"empty", `{}`, outer{}},
		{"every kind", `{"id":"a\u0062","live":true,"inner":{"name":"n","at":-5,"any":[1, 2]},"items":[{"name":"x"},{"at":9}]}`, outer{
			ID: "ab", Live: true, Inner: inner{"n", -5, json.RawMessage(`[1, 2]`)}, Items: []inner{{Name: "x"}, {At: 9}}}},
		{"a number for a string is its text", `{"id":1.50}`, outer{ID: "1.50"}},
		{"what does not fit is left out", `{"id":{},"live":"true","inner":[],"items":{"name":"x"}}`, outer{}},
		{"inside of an object, too", `{"inner":{"name":[],"at":1.5,"any":null}}`, outer{}},
		{"an int64 that is none", `{"inner":{"at":9223372036854775808}}`, outer{}},
		{"null is nothing", `{"id":null,"live":null,"inner":null,"items":null}`, outer{}},
		{"names that are no field's are free", `{"foo":1,"FOO":2,"Not":"x","i d":"x","id_":"x","_id":"x"}`, outer{}},
		{"so are all in what takes any JSON", `{"inner":{"any":{"ID":1,"id":2,"Name":3}},"other":{"ID":1,"Inner":{"NAME":2}}}`, outer{Inner: inner{Any: json.RawMessage(`{"ID":1,"id":2,"Name":3}`)}}},
		{"fields that have no name are not reached", `{"-":"x","Not":"x"}`, outer{}},
		{"items that are no objects are left out", `{"items":[1,{"name":"x"},null]}`, outer{Items: []inner{{Name: "x"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decode(test.body)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

// Rule: two readers of one body must not see two things, at any depth; and an
// error quotes nothing of the body.
func TestDecodeRefuses(t *testing.T) {
	for _, body := range []string{
		"", " ", "null", "[]", `"secret"`, "1", "{", `{"id":"secret"`, `{"id":"secret"}{}`, `{"id":"secret"} x`, `{"id":secret}`, "\xef\xbb\xbf{}",
		`{"id":"a","id":"secret"}`, `{"inner":{"name":"a","name":"secret"}}`, `{"unknown":{"x":1,"x":"secret"}}`, `{"items":[{"at":1,"at":2}]}`,
		strings.Repeat(`{"inner":`, 20_000),
	} {
		_, err := decode(body)
		require.Error(t, err, body)
		assert.NotContains(t, err.Error(), "secret")
	}
}

// Rule: each item of a list is read as strictly as the body, also one that is left out.
func TestDecodeItems(t *testing.T) {
	for _, test := range []struct {
		name, rest string
		ok         bool
	}{
		{"one more", `{"name":"y"}`, true},
		{"other values", `1,"y",[],{"other":{}},null`, true},
		{"a name twice", `{"name":"y","name":"z"}`, false},
		{"a name twice in what is left out", `[{"a":1,"a":2}]`, false},
		{"no JSON", `{"name":"y"},x`, false},
		{"a comma too many", `{"name":"y"},`, false},
		{"no end", `{"name":"y"}],"items`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := decode(`{"items":[{},1,` + test.rest + `],"id":"after"}`)
			if !test.ok {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Len(t, got.Items, 2)
			assert.Equal(t, "after", got.ID)
		})
	}
}

// Rule: a name that encoding/json would take for a field's is refused, wherever
// there are fields, in every spelling, and whether or not the field is given, too.
func TestDecodeRefusesNamesThatFold(t *testing.T) {
	type folding struct {
		Status string `json:"task_status"`
		Items  []struct {
			Key string `json:"key"`
		} `json:"items"`
		CamelCase string `json:"camelCase"`
	}
	table := object.TableOf[folding]()
	for _, name := range []string{"Task_status", "TASK_STATUS", "task_\u0053tatus", "ta\u017fk_status", "task_statuſ", "tas\u212a_status", "tasK_status", "camelcase", "CamelCase"} {
		for _, body := range []string{`{"` + name + `":"x"}`, `{"task_status":"a","` + name + `":null}`, `{"` + name + `":{},"camelCase":"a"}`} {
			assert.EqualError(t, table.Decode([]byte(body), body, new(folding), nil), "a name differs from a field's in letter case only", body)
			_, ok := table.Extra(body, "other")
			assert.False(t, ok)
		}
	}
	inItem := `{"items":[{"key":"a"},{"K\u0045Y":"b"}]}`
	assert.Error(t, table.Decode([]byte(inItem), inItem, new(folding), nil))
	free := `{"items":{"KEY":"b"},"tasķ_status":1,"task-status":1,"taskstatus":1}`
	assert.NoError(t, table.Decode([]byte(free), free, new(folding), nil))
}

// Rule: a body has at most MaxMembers members, those within its objects included, as
// many objects, as many lists, as many items in a list that a field takes, and as many
// backslashes and bytes that are not ASCII in names that are looked up; what is in a text
// is none of them.
func TestDecodeCountsMembers(t *testing.T) {
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"%x":1`, i)
		}
		return b.String()
	}
	texts := `"id":"` + strings.Repeat(`:\":`, 2000) + `","live":false`
	for _, test := range []struct {
		name, body string
		ok         bool
	}{
		{"just as many", `{` + texts + members(object.MaxMembers-2) + `}`, true},
		{"one more", `{` + texts + members(object.MaxMembers-1) + `}`, false},
		{"just as many, within", `{"a":{"z":1` + members(object.MaxMembers-2) + `}}`, true},
		{"one more, within", `{"a":[{"b":1` + members(object.MaxMembers-1) + `}]}`, false},
		{"objects in objects", strings.Repeat(`{"a":`, 5000) + `1` + strings.Repeat(`}`, 5000), false},
		{"items", `{"items":[{"at":1}` + strings.Repeat(`,{"at":1}`, object.MaxMembers-2) + `]}`, true},
		{"more items", `{"items":[{"at":1}` + strings.Repeat(`,{"at":1}`, object.MaxMembers) + `]}`, false},
		{"colons in texts only", `{` + texts + `,"items":[]}`, true},
		{"empty objects", `{"items":[{}` + strings.Repeat(`,{}`, object.MaxMembers-2) + `]}`, true},
		{"one more empty object", `{"items":[{}` + strings.Repeat(`,{}`, object.MaxMembers-1) + `]}`, false},
		{"empty objects in what no field takes", `{"x":[{}` + strings.Repeat(`,{}`, object.MaxMembers-1) + `]}`, false},
		{"braces in texts only", `{"id":"` + strings.Repeat(`{\"{`, 2000) + `"}`, true},
		{"escapes in a name", `{"` + strings.Repeat(`\u0061`, object.MaxMembers) + `":1}`, true},
		{"one more", `{"` + strings.Repeat(`\u0061`, object.MaxMembers) + `":1,"\u0061":1}`, false},
		{"escapes in a name of an item", `{"items":[{"` + strings.Repeat(`\n`, object.MaxMembers+1) + `":1}]}`, false},
		{"escapes in a name that no field takes", `{"x":{"` + strings.Repeat(`\n`, object.MaxMembers+1) + `":1}}`, true},
		{"bytes that are not ASCII in names", `{"` + strings.Repeat(`é`, object.MaxMembers/4) + `":1,"` + strings.Repeat(`ſ`, object.MaxMembers/4) + `":1}`, true},
		{"one byte more", "{\"" + strings.Repeat(`é`, object.MaxMembers/4) + `":1,"` + strings.Repeat(`ſ`, object.MaxMembers/4) + "\xff\":1}", false},
		{"one that is escaped, and more", `{"\u00e9` + strings.Repeat(`é`, object.MaxMembers/2) + `":1}`, false},
		{"just as many, one escaped", `{"\u00e9\u00e9` + strings.Repeat(`é`, object.MaxMembers/2-1) + `":1}`, true},
		{"a field's name, escaped again and again", `{"items":[{"\u006eame":"x"}` + strings.Repeat(`,{"\u006eame":"x"}`, object.MaxMembers-2) + `]}`, true},
		{"in a name of an item", `{"items":[{"` + strings.Repeat(`é`, object.MaxMembers+1) + `":1}]}`, false},
		{"in a name that no field takes", `{"x":{"` + strings.Repeat(`é`, object.MaxMembers+1) + `":1}}`, true},
		{"in texts only", `{"id":"` + strings.Repeat(`é`, 2*object.MaxMembers) + `"}`, true},
		{"lists", `{"x":[[]` + strings.Repeat(`,[]`, object.MaxMembers-2) + `]}`, true},
		{"one more list", `{"x":[[]` + strings.Repeat(`,[]`, object.MaxMembers-1) + `]}`, false},
		{"lists in lists", `{"x":` + strings.Repeat(`[`, object.MaxMembers+1) + strings.Repeat(`]`, object.MaxMembers+1) + `}`, false},
		{"lists in texts only", `{"id":"` + strings.Repeat(`[\"[`, 2000) + `"}`, true},
		{"items of other kinds", `{"items":[0` + strings.Repeat(`,0`, object.MaxMembers-1) + `]}`, true},
		{"one more item", `{"items":[0` + strings.Repeat(`,0`, object.MaxMembers) + `]}`, false},
		{"items that no field takes", `{"x":[0` + strings.Repeat(`,0`, 5*object.MaxMembers) + `]}`, true},
		{"escapes in texts only", `{"id":"` + strings.Repeat(`\n`, 2*object.MaxMembers) + `"}`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := decode(test.body)
			if test.ok {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, "more than 1000 members")
			}
		})
	}
}

// Rule: what is read is read once: a text that is not Unicode, or a body that breaks
// off, leaves no torn piece where Extra finds it.
func TestExtraIsNeverTorn(t *testing.T) {
	for _, broken := range []string{`"cut \ud83d"`, "\"cut \xff\""} {
		body := `{"inner":{"name":` + broken + `,"any":[` + broken + `]},"items":[{"name":` + broken + `}],"new":` + broken + `}`
		for path, want := range map[string]string{
			"inner": `{"name":` + broken + `,"any":[` + broken + `]}`,
			"items": `[{"name":` + broken + `}]`,
			"new":   broken,
		} {
			extra, ok := table.Extra(body, path)
			assert.True(t, ok)
			assert.Equal(t, want, string(extra))
		}
		o, err := decode(body)
		require.NoError(t, err)
		assert.Equal(t, `[`+broken+`]`, string(o.Inner.Any), "a field that takes any JSON takes all of it")
	}
}

func TestDecodeTellsMembers(t *testing.T) {
	var names []string
	body := `{"id":"x","unknown":1,"live":null,"inner":{"name":"not told"}}`
	require.NoError(t, table.Decode([]byte(body), body, &outer{}, func(name string) { names = append(names, name) }))
	assert.Equal(t, []string{"id", "unknown", "inner"}, names)

	told := map[string]string{}
	require.NoError(t, table.DecodeMembers([]byte(body), body, &outer{}, func(name []byte, json string, held bool) {
		told[string(name)] = fmt.Sprint(json, " ", held)
	}))
	assert.Equal(t, map[string]string{"id": " true", "unknown": "1 false", "inner": " true"}, told)
}

// Rule: text that is not Unicode costs nothing but its own field, which is found as
// it came.
func TestTextThatIsNotUnicode(t *testing.T) {
	for _, broken := range []string{"\"a\xff\"", `"a\ud83d"`, "\"\\u0061\xed\xa0\x80\""} {
		body := `{"live":true,"items":[{"name":"x"}],"id":` + broken + `,"inner":{"name":` + broken + `,"at":7},` + broken + `:1}`
		o, err := decode(body)
		require.NoError(t, err, broken)
		assert.Equal(t, outer{Live: true, Items: []inner{{Name: "x"}}, Inner: inner{At: 7}}, o)
		for _, path := range [][]string{{"id"}, {"inner", "name"}} {
			extra, ok := table.Extra(body, path...)
			assert.True(t, ok)
			assert.Equal(t, broken, string(extra))
		}
		var names map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &names))
		for name := range names {
			if strings.Contains(name, "\ufffd") {
				extra, ok := table.Extra(body, name)
				assert.True(t, ok, "%q", name)
				assert.Equal(t, "1", string(extra))
			}
		}
		_, ok := object.Text([]byte(broken))
		assert.False(t, ok)
	}
	text, ok := object.Text([]byte(`"a\ud83d\ude00"`))
	assert.True(t, ok)
	assert.Equal(t, "a😀", text)
	for _, none := range []string{"", "7", "null", "{}"} {
		_, ok := object.Text([]byte(none))
		assert.False(t, ok, none)
	}
}

func TestExtra(t *testing.T) {
	const body = `{"id":"x","new": {"a":1} ,"live":"yes","inner":{"name":"n","more":[ 1 ],"at":"soon"},"items":[7]}`
	for _, test := range []struct {
		path []string
		want string
	}{
		{[]string{"new"}, `{"a":1}`},
		{[]string{"live"}, `"yes"`},
		{[]string{"inner"}, `{"name":"n","more":[ 1 ],"at":"soon"}`},
		{[]string{"inner", "more"}, `[ 1 ]`},
		{[]string{"inner", "at"}, `"soon"`},
		{[]string{"items"}, `[7]`},
		{[]string{"id"}, ""},
		{[]string{"inner", "name"}, ""},
		{[]string{"inner", "none"}, ""},
		{[]string{"new", "a"}, ""},
		{[]string{"none"}, ""},
		{nil, ""},
	} {
		got, ok := table.Extra(body, test.path...)
		assert.Equal(t, test.want, string(got), test.path)
		assert.Equal(t, test.want != "", ok, test.path)
	}
	_, ok := table.Extra(`{"new":`, "new")
	assert.False(t, ok)
}

// Rule: nothing that is posted panics, and what is read is what any reader of JSON
// reads.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{`{}`, `{"id":"a","inner":{"at":1},"items":[{"name":"\ud83d\ude00"}]}`, `{"inner":{"any":{"x":[]}}}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		o, err := decode(body)
		if err != nil {
			return
		}
		var other map[string]any
		require.NoError(t, json.Unmarshal([]byte(body), &other))
		if id, ok := other["id"].(string); ok && !strings.Contains(id, "\ufffd") {
			assert.Equal(t, id, o.ID)
		}
		table.Extra(body, "inner", "any")
	})
}
