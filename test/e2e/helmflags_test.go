//go:build lab

package e2e

import (
	"regexp"
	"testing"

	"github.com/cephferry/cephferry/pkg/helmcall"
)

// flagLine matches a flag in what helm --help prints: shorthand, name, the type
// of its value if it has one, and "[=…]" if it takes a value only behind "=".
var flagLine = regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([\w-]+)(?: ([\w/.-]+)(\[=\S*)?)?(?:  |$)`)

// "--set x -n shop" and "--atomic -n shop" can only be told apart by who knows
// every flag.
func TestEveryFlagOfHelmIsKnown(t *testing.T) {
	eachHelm(t, func(team *team) {
		for _, command := range []string{"install", "upgrade", "template"} {
			help := team.must(east, command, "--help")
			flags := flagLine.FindAllStringSubmatch(help, -1)
			if len(flags) < 50 {
				team.Fatalf("helm %s --help lists %d flags:\n%s", command, len(flags), help)
			}
			for _, flag := range flags {
				short, name, isSwitch := flag[1], flag[2], flag[3] == "" || flag[4] != ""
				if name == "namespace" {
					continue
				}
				forms := []string{"--" + name}
				if short != "" {
					forms = append(forms, "-"+short)
				}
				for _, form := range forms {
					argv := []string{"helm", command, form, "-n", "probe", "name", "chart"}
					switch {
					case name == "server-side" && !isSwitch: // of upgrade; of install it is a switch
						argv = []string{"helm", command, form, "auto", "-n", "probe", "name", "chart"}
					case !isSwitch: // then "-n" is its value, however much it looks like a flag
						argv = []string{"helm", command, "-n", "probe", form, "-n", "name", "chart"}
					}
					call, err := helmcall.Parse(argv)
					if err != nil || call.Connection.Namespace != "probe" || call.Command != command {
						team.Errorf("%q: %v, namespace %q, command %q", argv, err, call.Connection.Namespace, call.Command)
					}
				}
			}
		}
	})
}
