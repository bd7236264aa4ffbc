//go:build lab

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Helm 4 drops what a renderer writes to stderr, so these sentences come to it on
// another way.
func TestARefusalIsShownInFullAndNothingIsMade(t *testing.T) {
	const storage = "storage: 1Gi"
	for name, test := range map[string]struct {
		claim, sentence string
	}{
		"a key that does not exist": {
			claim(`cephferry.io/migratable: "true"`, `cephferry.io/migrateable: "true"`),
			`PersistentVolumeClaim data: metadata.annotations[cephferry.io/migrateable]: Unsupported value: "cephferry.io/migrateable": supported values: ` +
				`"cephferry.io/migratable", "cephferry.io/image", "cephferry.io/replicas", "cephferry.io/adopt", "cephferry.io/class", "cephferry.io/size", "cephferry.io/exclusive", "cephferry.io/keyed"`,
		},
		"a filesystem for several nodes": {
			claim("ReadWriteOnce", "ReadWriteMany"),
			`PersistentVolumeClaim NAMESPACE/data: spec.accessModes: Invalid value: "ReadWriteMany": class "ceph-block" is an RBD class, and two nodes that mount one RBD filesystem destroy it; use ReadWriteOnce, volumeMode Block, or a CephFS class`,
		},
		"an image to adopt that is not there": {
			claim("annotations:", "annotations:\n    cephferry.io/adopt: \"true\""),
			"PersistentVolumeClaim NAMESPACE/data: adopt image replicapool/NAMESPACE.data: the image does not exist; compare the name with `rbd ls`",
		},
		"quotes and characters of other languages": {
			claim(storage, "storage: '\"groß\\` 大'"),
			`PersistentVolumeClaim data: spec.resources.requests[storage]: Invalid value: "\"groß\\` + "` 大" + `": must be a quantity such as 10Gi`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachHelm(t, func(team *team) {
				chart := team.chart(map[string]string{"claim.yaml": test.claim, "settings.yaml": configMap})
				sentence := strings.ReplaceAll(test.sentence, "NAMESPACE", team.namespace)
				team.refused(east, team.rendered("install", "small", chart), sentence)
				team.unchanged(east, nothing())
			})
		})
	}
}

func TestEveryMistakeOfALongListIsShown(t *testing.T) {
	eachHelm(t, func(team *team) {
		var templates, sentence strings.Builder
		fmt.Fprintf(&sentence, "50 mistakes:")
		for i := range 50 {
			name := fmt.Sprintf("data-%02d", i)
			templates.WriteString("---\n" + claim("name: data", "name: "+name, "  resources:", "  selector: {}\n  resources:"))
			fmt.Fprintf(&sentence, "\n  PersistentVolumeClaim %s/%s: spec.selector: Forbidden: the claim's PersistentVolume is named, not selected", team.namespace, name)
		}
		chart := team.chart(map[string]string{"claims.yaml": templates.String()})
		for _, command := range []string{"install", "template"} {
			team.refused(east, team.rendered(command, "small", chart), sentence.String())
		}
		team.unchanged(east, nothing())
	})
}

// A claim that is a hook would be left behind or deleted at Helm's own times.
// Helm 3 keeps hooks from the renderer, so there it becomes a claim as if the
// annotation were not there, and waits for a dynamic volume.
func TestAClaimThatIsAHook(t *testing.T) {
	eachHelm(t, func(team *team) {
		chart := team.chart(map[string]string{
			"claim.yaml":    claim("annotations:", "annotations:\n    helm.sh/hook: pre-install"),
			"settings.yaml": configMap,
		})
		if team.helm == 4 {
			team.refused(east, team.rendered("install", "small", chart), `PersistentVolumeClaim `+team.namespace+`/data: metadata.annotations[helm.sh/hook]: Forbidden: `+
				`Helm leaves the objects of a hook behind or deletes them at its own times; a migratable claim cannot be one`)
			team.unchanged(east, nothing())
			return
		}
		team.must(east, team.rendered("install", "small", chart)...)
		seen := team.look(east)
		if len(seen.Claims) != 1 || len(seen.Volumes)+len(seen.Images) != 0 {
			team.Errorf("claims %v, volumes %v, images %v; want only a claim", seen.Claims, seen.Volumes, seen.Images)
		}
	})
}
