package manifest_test

import (
	"testing"

	"github.com/cephferry/cephferry/pkg/manifest"
)

func TestMentions(t *testing.T) {
	tests := map[string]struct {
		text string
		want bool
	}{
		"empty":                                               {``, false},
		"another word":                                        {`cephferry_io: true`, false},
		"the word in a key":                                   {`cephferry.io/migratable: "true"`, true},
		"the word in a comment":                               {`# cephferry.io`, true},
		"the word at the end":                                 {`x: cephferry.io`, true},
		"the slash escaped as in JSON":                        {`"cephferry.io\/migratable"`, true},
		"a letter of the word as \\x":                         {`"\x63ephferry.io/migratable"`, true},
		"a letter of the word as \\u":                         {`"ceph\u0066erry.io/migratable"`, true},
		"the dot as \\u":                                      {`"cephferry\u002eio/migratable"`, true},
		"the dot as \\u in capital digits":                    {`"cephferry\u002Eio/migratable"`, true},
		"a letter of the word as \\U":                         {`"\U00000063ephferry.io/migratable"`, true},
		"an escape for a letter of another":                   {`"\u003cb\u003e and \x7a"`, false},
		"an escape for a letter of the word, in another word": {`"\x63at"`, true},
		"an escape beyond ASCII":                              {`"\u0163ephferry"`, false},
		"a surrogate pair":                                    {`"\ud83d\ude00"`, false},
		"other escapes":                                       {`"\n\t\"\\ \. \c"`, false},
		"an escaped backslash before what looks like one":     {`"\\x63ephferry.io"`, false},
		"an escape that is cut off":                           {`"ceph\u00`, false},
		"an escape with no digits":                            {`"ceph\uzzzzy`, false},
		"a backslash at the end":                              {`cephferry\`, false},
		"a key that is broken over lines":                     {"? \"cephferry\\\n  .io/migratable\"\n: \"true\"\n", true},
		"a key that is broken over lines with CRLF":           {"? \"ceph\\\r\n\tferry.io/migratable\"\r\n: \"true\"\r\n", true},
		"lines of a shell script":                             {"run: |\n  curl \\\n    ceph \\\n    ferry.io\n", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := manifest.Mentions([]byte(test.text), "cephferry.io"); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
