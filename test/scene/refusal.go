//go:build lab

package scene

import (
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/test/webhook"
)

// Creating is what kubectl says of `kubectl create`, for [Forbidden].
const Creating = `error when creating "STDIN": `

// Forbidden is what kubectl shows of a refusal by an endpoint, when it is doing that.
func Forbidden(endpoint, message string, doing ...string) string {
	return fmt.Sprintf("Error from server (Forbidden): %sadmission webhook %q denied the request: \n%s",
		strings.Join(doing, ""), endpoint+".guard.cephferry.io", message)
}

// Refused is for a command that has to fail with exactly this on stderr, and where the webhook
// refused it, with the line after it that says where to read on.
func (s *Shop) Refused(r Result, want string) {
	s.Helper()
	if r.Err == nil {
		s.Fatalf("it was not refused: %s%s", r.Stdout, r.Stderr)
	}
	if strings.Contains(want, " denied the request: ") {
		var said bool
		if r.Stderr, said = webhook.Unhelped(r.Stderr); !said {
			s.Fatalf("the refusal does not say where to read on:\n%s", r.Stderr)
		}
	}
	if r.Stderr != want {
		s.Fatalf("refused with:\n%s\nwant:\n%s", r.Stderr, want)
	}
}

// InUse is the text of the refusal that west shows for claims that are in use now.
func (s *Shop) InUse(claims ...string) string {
	s.Helper()
	return s.InUseOf(s.scene.West, claims...)
}

// InUseOf is the text of the refusal that c shows.
func (s *Shop) InUseOf(c *Cluster, claims ...string) string {
	s.Helper()
	var texts []string
	for _, claim := range claims {
		text := fmt.Sprintf("volume %s/%s (image %s) is in use by another cluster\n", s.Namespace, claim, s.Image(claim))
		record, watchers := s.Holders(claim)
		if record.Owner == nil || record.Owner.Name == c.Name {
			do := "  do this   scale the workload down in that cluster, then retry here; nothing was changed"
			for _, w := range watchers {
				text += fmt.Sprintf("  held by   %s (%s), %s\n", w.Host(), w.Client, c.foreign(w.Host()))
				if node := c.nodeAt(w.Host()); node != "" {
					do = fmt.Sprintf("  do this   rbd device list on node %s shows what has it mapped there; if nothing there does, a cluster behind that address has it open: "+
						"end that use, then retry here; nothing was changed", node)
				}
			}
			texts = append(texts, text+do)
			continue
		}
		owner := record.Owner
		since := fmt.Sprintf(", claim %s/%s, since %s UTC\n", s.Namespace, owner.Claim, owner.Since.Format("2006-01-02 15:04"))
		for _, node := range owner.Nodes {
			at := []string{node.Addresses[0]}
			for _, w := range watchers {
				if w.Host() == node.Addresses[0] {
					at = append(at, w.Client)
				}
			}
			text += fmt.Sprintf("  held by         cluster %s, node %s (%s)%s", owner.Name, node.Name, strings.Join(at, ", "), since)
		}
		if owner.Nodes == nil {
			text += "  held by         cluster " + owner.Name + since
		}
		texts = append(texts, text+fmt.Sprintf("  if it lives     scale the workload of claim %s/%s down in %s, then retry here; nothing was changed\n"+
			"  if it is dead   kubectl cephferry failover %s/%s", s.Namespace, owner.Claim, owner.Name, s.Namespace, claim))
	}
	return strings.Join(texts, "\n")
}

// foreign is what the cluster says about an address whose watch it does not explain.
func (c *Cluster) foreign(address string) string {
	if node := c.nodeAt(address); node != "" {
		return "the address of node " + node + ", which does not use the volume"
	}
	return "not a node of " + c.Name
}

// nodeAt is the node of the cluster with that address, if there is one.
func (c *Cluster) nodeAt(address string) string {
	for _, node := range c.Nodes {
		if node.Address == address {
			return node.Name
		}
	}
	return ""
}

// OwnedBy is the refusal in another cluster while a pod of c was admitted and is on
// no node.
func (s *Shop) OwnedBy(c *Cluster, claim string) string {
	s.Helper()
	record := s.Record(claim)
	return fmt.Sprintf("volume %[1]s/%[2]s (image %[3]s) is in use by another cluster\n"+
		"  held by         cluster %[4]s, claim %[1]s/%[2]s, since %[5]s UTC\n"+
		"  if it lives     scale the workload of claim %[1]s/%[2]s down in %[4]s, then retry here; nothing was changed\n"+
		"  if it is dead   kubectl cephferry failover %[1]s/%[2]s",
		s.Namespace, claim, s.Image(claim), c.Name, record.Owner.Since.Format("2006-01-02 15:04"))
}

// RefusedAtOnce asks the guard of c for a pod on what owner owns. No kubectl and no API
// server take time: the owner lets go when the grace is over.
func (s *Shop) RefusedAtOnce(c, owner *Cluster, claim string) {
	s.Helper()
	want := s.OwnedBy(owner, claim)
	got := c.Webhook.Send("pod", s.PodReview(Pod("p", claim)))
	if diff := cmp.Diff(want, strings.TrimSpace(got.Message)); got.Allowed || diff != "" {
		s.Errorf("%+v, -want +got:\n%s", got, diff)
	}
}

// PodReview is the review of a new pod, as the API server sends it.
func (s *Shop) PodReview(manifest string) string {
	s.Helper()
	object, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		s.Fatal(err)
	}
	return webhook.Review(fmt.Sprintf(`"kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"}, `+
		`"name": "x", "namespace": %q, "operation": "CREATE", "object": %s`, s.Namespace, object))
}
