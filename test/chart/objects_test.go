//go:build lab

package chart

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cephferry/cephferry/test/scene"
)

const (
	onlyUs = `denied request: only the webhook of cephferry writes this: it shows what the records in Ceph say, and no decision rests on it. ` +
		`To change who owns a volume, move or stop its pods, or create a Takeover: docs/objects.md of cephferry.`
)

// TestObjects: who may read and write the objects, with nothing that answers for the
// webhook.
func TestObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.namespace(t, "shop", false)
	w.namespace(t, "bank", false)
	rendered := []string{"template", "cephferry", chartDir, "--set", "cluster.name=west"}
	for _, template := range []string{"crds", "objects"} {
		w.apply(t, "", w.helm(t, 3, append(rendered, "--show-only", "templates/"+template+".yaml")...))
	}
	w.namespace(t, "rook-ceph", false)
	w.namespace(t, own, false)
	if err := w.Apply(t.Context(), w.helm(t, 3, append(rendered, "--show-only", "templates/rbac.yaml")...)); err != nil {
		t.Fatal(err)
	}
	w.kubectl(t, "wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s")
	for _, rule := range [][]string{
		{"rolebinding", "reader", "--clusterrole=view", "--user=reader", "--namespace=shop"},
		{"rolebinding", "owner", "--clusterrole=admin", "--user=owner", "--namespace=shop"},
		{"clusterrolebinding", "operators", "--clusterrole=cephferry-operator", "--user=ann", "--user=bob"},
	} {
		w.kubectl(t, append([]string{"create"}, rule...)...)
	}
	volume := func(namespace string) string {
		return w.write(t, "{apiVersion: cephferry.io/v1alpha1, kind: MigratableVolume, metadata: {name: data, namespace: "+namespace+"}}")
	}
	scene.Eventually(t, "the policies", func() error {
		for _, file := range []string{volume("shop"), takeover(w, t, "nobody", "")} {
			if _, err := w.Run(t.Context(), "create", "--dry-run=server", "--filename", file); err == nil || !strings.Contains(err.Error(), "denied request") {
				return errors.Join(errors.New("they are not in use"), err)
			}
		}
		return nil
	})
	as := []string{"--as", account}
	for _, namespace := range []string{"shop", "bank"} {
		w.kubectl(t, append([]string{"create", "--filename", volume(namespace)}, as...)...)
	}
	cluster := w.write(t, "{apiVersion: cephferry.io/v1alpha1, kind: FerryCluster, metadata: {name: east}}")
	w.kubectl(t, append([]string{"create", "--filename", cluster}, as...)...)
	status := func(state string) string { return `--patch={"status":{"state":"` + state + `"}}` }
	set := []string{"patch", "migratablevolume/data", "--namespace=shop", "--subresource=status", "--type=merge"}
	// kubectl patch would read it first, which the webhook may not and does not.
	shown := func(text string) []string {
		return append([]string{"apply", "--server-side", "--subresource=status", "--filename", w.write(t, "{apiVersion: cephferry.io/v1alpha1, "+text+"}")}, as...)
	}
	w.kubectl(t, shown("kind: MigratableVolume, metadata: {name: data, namespace: shop}, status: {state: Free}")...)

	t.Run("the expressions fit the types", func(t *testing.T) {
		for _, policy := range []string{"cephferry-objects", "cephferry-takeovers"} {
			scene.Eventually(t, "the controller's opinion of "+policy, func() error {
				if seen := w.kubectl(t, "get", "validatingadmissionpolicy/"+policy, "--output=jsonpath={.status.observedGeneration}"); seen != "1" {
					return fmt.Errorf("generation %q", seen)
				}
				return nil
			})
			if said := w.kubectl(t, "get", "validatingadmissionpolicy/"+policy, "--output=jsonpath={.status.typeChecking.expressionWarnings}"); said != "" {
				t.Error(said)
			}
		}
	})

	t.Run("nobody else writes what is shown", func(t *testing.T) {
		another := w.write(t, "{apiVersion: cephferry.io/v1alpha1, kind: FerryCluster, metadata: {name: north}}")
		for name, args := range map[string][]string{
			"create a volume":            {"create", "--filename", volume("default")},
			"change what a volume shows": append(set, status("Held")),
			"label a volume":             {"label", "migratablevolume/data", "--namespace=shop", "a=b"},
			"create a cluster":           {"create", "--filename", another},
			"change a cluster":           {"patch", "ferrycluster/east", "--subresource=status", "--type=merge", `--patch={"status":{"nodeCount":1,"volumesOwned":1}}`},
			"administrators":             append(set, status("Held"), "--as=root", "--as-group=system:masters"),
			"another's account":          append(set, status("Held"), "--as=system:serviceaccount:default:cephferry", "--as-group=system:masters"),
			"a controller, what it says": append(set, status("Held"), "--as=system:serviceaccount:kube-system:c", "--as-group=system:masters", "--as-group=system:serviceaccounts:kube-system"),
		} {
			t.Run(name, func(t *testing.T) {
				if got := w.refused(t, args...); !strings.Contains(got, onlyUs) {
					t.Errorf("%s\nwant in it: %s", got, onlyUs)
				}
			})
		}
		if got := w.kubectl(t, "get", "migratablevolume/data", "--namespace=shop", "--output=jsonpath={.status.state}"); got != "Free" {
			t.Errorf("the state is %q", got)
		}
	})

	t.Run("a reader of a namespace sees its volumes", func(t *testing.T) {
		// The cluster's own roles get the rule a moment later.
		scene.Eventually(t, "the rule to be in the role", func() error {
			_, err := w.Run(t.Context(), "get", "mvol", "--namespace=shop", "--as=owner")
			return err
		})
		if got := w.kubectl(t, "get", "mvol", "--namespace=shop", "--as=reader"); !strings.Contains(got, "data") {
			t.Error(got)
		}
		for _, args := range [][]string{
			{"get", "mvol", "--namespace=bank"},
			{"get", "mvol/data", "--namespace=bank"},
			{"get", "mvol", "--all-namespaces"},
			{"get", "ferryclusters"},
			{"get", "takeovers"},
			{"create", "--filename", volume("shop")},
			{"label", "mvol/data", "--namespace=shop", "a=b"},
			append(set, status("Held")),
			{"delete", "mvol/data", "--namespace=shop"},
		} {
			for _, user := range []string{"reader", "owner"} {
				if got := w.refused(t, append(args, "--as="+user)...); !strings.Contains(got, `User "`+user+`" cannot`) {
					t.Errorf("%s: %s", user, got)
				}
			}
		}
	})

	t.Run("people decide for themselves", func(t *testing.T) {
		const begin = "denied request: "
		for _, c := range []struct{ by, as, want string }{
			{"ann", "bob", begin + `spec.by is "ann", and you are "bob": it must name the person who creates the Takeover`},
			{"ann", "west-admin", begin + `spec.by is "ann", and you are "west-admin": it must name the person who creates the Takeover`},
			{"ann", "ann", ""},
		} {
			args := []string{"create", "--filename", takeover(w, t, c.by, ""), "--as=" + c.as, "--as-group=system:authenticated"}
			if c.as == "west-admin" {
				args = args[:3]
			}
			if _, err := w.Run(t.Context(), args...); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s in the name of %s: %v, want %q", c.as, c.by, err, c.want)
			}
		}
		confirm := func(hash string) []string {
			return []string{"patch", "takeover/t-ann", "--type=merge", `--patch={"spec":{"confirm":"` + hash + `"}}`}
		}
		want := begin + `only "ann", who created it, confirms it, and you are "bob": look at its plan, and create a Takeover of your own`
		if got := w.refused(t, append(confirm("abc"), "--as=bob")...); !strings.Contains(got, want) {
			t.Errorf("%s\nwant in it: %s", got, want)
		}
		w.kubectl(t, "label", "takeover/t-ann", "seen=yes", "--as=bob")
		w.kubectl(t, append(confirm("abc"), "--as=ann")...)
		if got := w.refused(t, append(confirm(""), "--as=bob")...); !strings.Contains(got, want) {
			t.Errorf("%s\nwant in it: %s", got, want)
		}
		if got := w.refused(t, "patch", "takeover/t-ann", "--type=merge", `--patch={"spec":{"by":"bob"}}`, "--as=bob"); !strings.Contains(got, "only confirm may be changed") {
			t.Error(got)
		}
		if got := w.refused(t, "patch", "takeover/t-ann", "--subresource=status", "--type=merge", `--patch={"status":{"phase":"Done","volumeCount":0,"takenCount":0}}`); !strings.Contains(got, onlyUs) {
			t.Error(got)
		}
		w.kubectl(t, shown("kind: Takeover, metadata: {name: t-ann}, status: {phase: Planned, volumeCount: 0, takenCount: 0}")...)
		if got := w.kubectl(t, "get", "takeovers", "--as=bob"); !strings.Contains(got, "Planned") {
			t.Error(got)
		}
		// A hash may be there from the beginning: it fits no other plan.
		w.kubectl(t, "create", "--filename", takeover(w, t, "bob", "abc"), "--as=bob")
		w.kubectl(t, "delete", "takeovers", "--all", "--as=bob")
	})

	t.Run("they go with the claim, or let it go alone", func(t *testing.T) {
		for _, cascade := range []string{"background", "orphan"} {
			w.apply(t, "shop", "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: "+
				`{accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 1Gi}}}}`)
			uid := w.kubectl(t, "get", "persistentvolumeclaim/c", "--namespace=shop", "--output=jsonpath={.metadata.uid}")
			w.kubectl(t, append([]string{"create", "--filename", w.write(t, "{apiVersion: cephferry.io/v1alpha1, kind: MigratableVolume, metadata: {name: c, namespace: shop, "+
				"ownerReferences: [{apiVersion: v1, kind: PersistentVolumeClaim, name: c, uid: "+uid+"}]}}")}, as...)...)
			w.kubectl(t, "delete", "persistentvolumeclaim/c", "--namespace=shop", "--cascade="+cascade, "--timeout=60s")
			if cascade == "background" {
				scene.Eventually(t, "the object to go with its claim", func() error {
					left, err := w.Get(t.Context(), "shop", "migratablevolumes", "c")
					if err == nil && left != nil {
						err = errors.New("it is still there")
					}
					return err
				})
			}
		}
		w.kubectl(t, "delete", "namespace/shop", "--timeout=60s")
	})
}

// takeover is a file with a Takeover in somebody's name.
func takeover(w *world, t *testing.T, by, confirm string) string {
	t.Helper()
	return w.write(t, fmt.Sprintf("{apiVersion: cephferry.io/v1alpha1, kind: Takeover, metadata: {name: t-%s}, spec: {from: east, by: %s, all: true, confirm: %q}}", by, by, confirm))
}
