//go:build lab

package provisioner

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/test/scene"
)

// command matches one command of a block, with the text that it reads from the block.
var command = regexp.MustCompile(`(?ms)^[^\n]+<<'END'$.*?^END$|^[^\n]+$`)

// TestTheStartPage carries out docs/start.md, as somebody does who has read nothing else.
// With -v it prints what such a person sees in the terminal.
func TestTheStartPage(t *testing.T) {
	t.Parallel()
	tm := newTeam(t)
	dir := t.TempDir()
	blocks := tm.blocks("start.md", 5)
	var transcript strings.Builder
	t.Cleanup(func() {
		t.Log("as in a terminal:\n\n" + strings.ReplaceAll(transcript.String(), tm.Namespace, "shop"))
	})
	run := func(block string) (printed string, err error) {
		for _, command := range command.FindAllString(block, -1) {
			out, err := tm.shell(dir, command)
			printed += out
			fmt.Fprintf(&transcript, "$ %s\n%s", command, out)
			if err != nil {
				return printed, err
			}
		}
		return printed, nil
	}
	step := func(n int) string {
		t.Helper()
		out, err := run(blocks[n])
		if err != nil {
			t.Fatalf("%v: %s\n%s", err, out, blocks[n])
		}
		return out
	}

	step(0)
	tm.Eventually("plain kubectl shows the owner", func() error {
		if out := tm.Kubectl(east, "get", "mvol"); !regexp.MustCompile(`(?m)^data-db-0 +Held +east +east-\d `).MatchString(out) {
			return fmt.Errorf("it shows %s", out)
		}
		return nil
	})
	tm.Grows("data-db-0")
	if _, err := run("kubectl --context east -n " + tm.Namespace + " get mvol"); err != nil {
		t.Fatal(err)
	}
	before := tm.last([]string{"data-db-0"})

	if out := step(1); !strings.Contains(out, "cluster east") {
		t.Errorf("west's volume does not say who has the image: %s", out)
	}
	tm.Grows("data-db-0")

	if out := step(2); !strings.Contains(out, "Nothing ran for") {
		t.Errorf("the move does not say for how long nothing ran: %s", out)
	}
	tm.goesOn(before, east, west)

	out, err := run(blocks[3])
	if err == nil || !strings.Contains(out, "is in use by another cluster") || !strings.Contains(out, "cluster west, node ") {
		t.Errorf("east may start it again, or is not told who has it: %v: %s", err, out)
	}
	tm.Grows("data-db-0")

	step(4)
	tm.Eventually("the namespaces are gone, and the image is not", func() error {
		for _, c := range []*scene.Cluster{east, west} {
			if _, err := c.Client.CoreV1().Namespaces().Get(t.Context(), tm.Namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s still has its namespace: %v", c.Name, err)
			}
		}
		_, err := storage.RBD(t.Context(), "info", tm.Image("data-db-0"))
		return err
	})
}
