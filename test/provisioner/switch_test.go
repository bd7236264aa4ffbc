//go:build lab

package provisioner

import (
	"strings"
	"testing"
)

// TestARenderedReleaseTurnsToTheCluster is docs/postrender.md, From client to cluster:
// an upgrade is refused, or keeps the pair; after an uninstall the cluster goes on with
// the data, whether an upgrade was tried or not.
func TestARenderedReleaseTurnsToTheCluster(t *testing.T) {
	t.Parallel()
	const (
		volumeName   = `- "VolumeName": "`
		template     = "updates to statefulset spec for fields other than"
		defaultClass = "persistence.storageClass="
		reserve      = `persistence.annotations.cephferry\.io/replicas=1`
	)
	for what, test := range map[string]struct {
		chart, image string
		set          string
		untried      bool
		// refused is what the API server says of the upgrade; empty means nothing.
		refused string
	}{
		"a claim":                             {chart: "web", image: "app-files", refused: volumeName},
		"a claim without an upgrade":          {chart: "web", image: "app-files", untried: true},
		"a claim of the default class":        {chart: "web", image: "app-files", set: defaultClass, refused: volumeName},
		"a StatefulSet":                       {chart: "db", image: "data-app-0", refused: template},
		"a StatefulSet of the default class":  {chart: "db", image: "data-app-0", set: defaultClass},
		"a StatefulSet with pairs in reserve": {chart: "db", image: "data-app-0", set: defaultClass + "," + reserve, refused: template},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			more := []string{"--set-string", test.set}
			old := release{team: newTeam(t), in: east, name: "app", chart: test.chart, create: "client"}
			next := old
			next.create = "cluster"
			image := old.image(test.image)
			if out, err := old.rendered("install", 1, more...); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			old.runs()

			if !test.untried {
				claim, volume := old.get(east, old.claim()).UID, old.volume(east, image).UID
				out, err := next.rendered("upgrade", 1, more...)
				if refused := err != nil; refused != (test.refused != "") || !strings.Contains(out, test.refused) {
					t.Errorf("the upgrade: %v: %s", err, out)
				}
				old.runs()
				if old.get(east, old.claim()).UID != claim || old.volume(east, image).UID != volume {
					t.Error("the upgrade made the pair anew")
				}
			}

			if out, err := old.helm(east, programs.helm, "uninstall", "app", "--wait"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			old.noPods(east)
			if out, err := next.rendered("install", 1, more...); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			next.runs()
			next.bound(east, next.claim(), image)
			next.wrote(image, east)
			// The release is one of the cluster's now.
			if out, err := next.rendered("upgrade", 1, more...); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
