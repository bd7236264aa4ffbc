//go:build lab

package failover

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// A pair from before there were keys gets them, in one cluster after the other, and its
// claim and its data stay.
func TestRekey(t *testing.T) {
	s := newShop(t)
	e2, w2 := s.east.Nodes[1], s.west.Nodes[1]
	s.MakeImage("data")
	name := "metadata: {name: " + s.Namespace + ".data"
	s.Pair("data", []string{name, name + `, annotations: {cephferry.io/migratable: "true"}`}, s.east, s.west)
	s.starts(s.east, e2, "p", "data")
	s.owns(s.east, e2, "data")
	uid := s.Kubectl(s.east, "get", "pvc", "data", "-o=jsonpath={.metadata.uid}")
	claim, dir := s.Namespace+"/data", t.TempDir()
	base := s.Namespace + ".data"
	s.refused(s.cephferry(s.east, "rekey", claim, "--save", dir), "it is in use: a pod uses it: pod "+s.Namespace+"/p")
	s.refused(s.cephferry(s.west, "rekey", claim, "--save", dir), "cluster east owns it, claim "+claim+", and opens it by a name without a key")
	s.deletes(s.east, "p", "data")

	s.releases("data")
	rekey := s.plugin(s.east, "rekey", "--namespace", s.Namespace, "--all", "--save", dir, "--admission-grace", "2s", "--by", "ann")
	s.killedAfter(rekey, "the image is keyed from now on")
	ends := func(out string) {
		t.Helper()
		if !strings.HasSuffix(out, "volume "+claim+": keyed, and bound\n") {
			t.Errorf("it says:\n%s", out)
		}
	}
	ends(s.Must(s.cephferry(s.east, "rekey", claim, "--save", dir, "--by", "ann")))

	// As after a run that died before it made the volume again: the claim is lost, and found.
	kept := s.Kubectl(s.east, "get", "pv", base, "-o=json")
	if err := os.WriteFile(filepath.Join(dir, base+"~east.json"), []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Kubectl(s.east, "delete", "pv", base, "--wait=false")
	s.Kubectl(s.east, "patch", "pv", base, "--type=merge", "--patch", `{"metadata":{"finalizers":null}}`)
	s.Eventually("the claim is lost", func() error {
		if phase := s.Kubectl(s.east, "get", "pvc", "data", "-o=jsonpath={.status.phase}"); phase != "Lost" {
			return fmt.Errorf("it is %s", phase)
		}
		return nil
	})
	ends(s.Must(rekey.Run(t.Context())))
	s.Bound(s.east, "data")
	if now := s.Kubectl(s.east, "get", "pvc", "data", "-o=jsonpath={.metadata.uid}"); now != uid {
		t.Errorf("the claim has the uid %s, and had %s", now, uid)
	}
	s.bearsKey("data", "")
	if options := s.Kubectl(s.east, "get", "pv", base, "-o=jsonpath={.spec.csi.volumeAttributes.mapOptions}"); !slices.Contains(strings.Split(options, ","), "noshare") {
		t.Errorf("the volume is mapped with %q", options)
	}

	s.starts(s.east, e2, "q", "data")
	s.owns(s.east, e2, "data")
	s.bearsKey("data", "east")

	// The other cluster needs no owner for that, and no image.
	ends(s.Must(s.cephferry(s.west, "rekey", claim, "--save", dir)))
	s.bearsKey("data", "east")
	s.deletes(s.east, "q", "data")
	s.releases("data")
	s.starts(s.west, w2, "p", "data")
	s.owns(s.west, w2, "data")
	s.bearsKey("data", "west")
	s.Wrote("data", s.east, s.west)
}

// bearsKey waits until rbd shows the image of the claim under its base name with that key.
func (s *shop) bearsKey(claim, key string) {
	s.Helper()
	base := s.Namespace + "." + claim
	s.Eventually("the image carries the key "+key, func() error {
		out, err := s.Ceph.RBD(s.Context(), "ls", s.Pool)
		if err != nil {
			return err
		}
		var names []string
		for _, name := range strings.Fields(string(out)) {
			if found, _ := ceph.SplitName(name); found == base {
				names = append(names, name)
			}
		}
		if !slices.Equal(names, []string{ceph.JoinName(base, key)}) {
			return fmt.Errorf("its names are %q", names)
		}
		return nil
	})
}
