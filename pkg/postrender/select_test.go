package postrender_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cephferry/cephferry/pkg/postrender"
)

// harbor is a chart with claims of every kind, of which only one takes the annotation.
const harbor = `---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: registry, labels: {app: harbor}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: jobservice
  labels: {app: harbor, tier: jobs}
  annotations: {}
spec:
  storageClassName: ceph-block
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: cache, annotations: {cephferry.io/migratable: "false"}, labels: {app: harbor}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: database}
spec:
  replicas: 2
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: ceph-block, resources: {requests: {storage: 1Gi}}}
  - metadata: {name: scratch}
    spec: {accessModes: [ReadWriteOnce], storageClassName: local, resources: {requests: {storage: 1Gi}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Alertmanager
metadata: {name: main, namespace: monitoring}
spec:
  storage:
    volumeClaimTemplate:
      spec:
        storageClassName: ceph-block
        resources: {requests: {storage: 1Gi}}
`

func selectors(t *testing.T, texts ...string) []postrender.Selector {
	t.Helper()
	var all []postrender.Selector
	for _, text := range texts {
		selector, err := postrender.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, selector)
	}
	return all
}

func TestList(t *testing.T) {
	registry := postrender.Listed{Object: "PersistentVolumeClaim shop/registry", Claim: "registry", Image: "shop.registry"}
	jobs := postrender.Listed{Object: "PersistentVolumeClaim shop/jobservice", Claim: "jobservice", Class: "ceph-block", Image: "shop.jobservice"}
	data := []postrender.Listed{
		{Object: "StatefulSet shop/database", Claim: "data-database-0", Class: "ceph-block", Image: "shop.data-database-0"},
		{Object: "StatefulSet shop/database", Claim: "data-database-1", Class: "ceph-block", Image: "shop.data-database-1"},
	}
	alerts := postrender.Listed{Object: "Alertmanager monitoring/main", Class: "ceph-block"}
	tests := map[string]struct {
		selectors []string
		want      []postrender.Listed
		err       string
	}{
		"nothing": {},
		"PVCs by name, but not the one that is opted out": {
			selectors: []string{"PersistentVolumeClaim/*"}, want: []postrender.Listed{registry, jobs},
		},
		"by a short name of the kind, and by label": {
			selectors: []string{"pvc/*,labels=app=harbor,tier in (jobs,core)"}, want: []postrender.Listed{jobs},
		},
		"by class": {
			selectors: []string{"*/*,class=ceph-*"}, want: []postrender.Listed{jobs, data[0], data[1], alerts},
		},
		"a template by its name": {
			selectors: []string{"StatefulSet/data*:d?ta"}, want: data,
		},
		"a template without a name, in a custom resource": {
			selectors: []string{"alertmanager/main"}, want: []postrender.Listed{alerts},
		},
		"several, the first of which counts": {
			selectors: []string{"pvc/reg*", "pvc/[rj]*,class=ceph-block", "pvc/registry"}, want: []postrender.Listed{registry, jobs},
		},
		"one that matches nothing": {
			selectors: []string{"pvc/registry", "StatefulSet/database:wal"},
			err:       "--select StatefulSet/database:wal: matches no claim and no claim template of these manifests",
		},
		"a class that is another's": {
			selectors: []string{"pvc/registry,class=ceph-block"},
			err:       "--select pvc/registry,class=ceph-block: matches no claim and no claim template of these manifests",
		},
		"a claim that cannot be migratable": {
			selectors: []string{"Alertmanager/main", "StatefulSet/database:scratch,class=[a-k]*", "pvc/cache"},
			err:       "--select StatefulSet/database:scratch,class=[a-k]*: matches no claim and no claim template of these manifests",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, err := postrender.List(strings.NewReader(harbor), "shop", selectors(t, test.selectors...)...)
			if err != nil || test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Fatalf("got %v, want %s", err, test.err)
				}
				return
			}
			for i := range got {
				if got[i].Selector == "" {
					t.Errorf("%+v: no selector", got[i])
				}
				got[i].Selector = ""
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestSelect renders what selectors pick, and renders it again.
func TestSelect(t *testing.T) {
	picks := selectors(t, "pvc/registry", "pvc/jobservice", "StatefulSet/database:data", "Alertmanager/*")
	var out, again strings.Builder
	if _, err := postrender.ForCluster(strings.NewReader(harbor), &out, picks...); err != nil {
		t.Fatal(err)
	}
	want := harbor
	for _, edit := range [][2]string{
		{"{name: registry, labels: {app: harbor}}\nspec: {acc", "{annotations: {cephferry.io/migratable: \"true\"}, name: registry, labels: {app: harbor}}\nspec: {storageClassName: \"\", acc"},
		{"annotations: {}\nspec:\n  storageClassName: ceph-block", "annotations: {\"cephferry.io/migratable\": \"true\", \"cephferry.io/class\": \"ceph-block\"}\nspec:\n  storageClassName: \"\""},
		{"{name: data}\n    spec: {accessModes: [ReadWriteOnce], storageClassName: ceph-block", "{annotations: {cephferry.io/migratable: \"true\", cephferry.io/class: \"ceph-block\"}, name: data}\n    spec: {accessModes: [ReadWriteOnce], storageClassName: \"\""},
		{"    volumeClaimTemplate:\n      spec:\n        storageClassName: ceph-block", "    volumeClaimTemplate:\n      metadata:\n        annotations:\n          cephferry.io/migratable: \"true\"\n          cephferry.io/class: \"ceph-block\"\n      spec:\n        storageClassName: \"\""},
	} {
		if !strings.Contains(want, edit[0]) {
			t.Fatalf("the input has not %q", edit[0])
		}
		want = strings.Replace(want, edit[0], edit[1], 1)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := postrender.ForCluster(strings.NewReader(out.String()), &again, picks...); err != nil || again.String() != out.String() {
		t.Errorf("second run (%v):\n%s", err, cmp.Diff(out.String(), again.String()))
	}
}

// TestSelectPairs does the same for pairs.
func TestSelectPairs(t *testing.T) {
	r, asked := renderer(t, newCeph())
	r.Select = selectors(t, "pvc/registry", "StatefulSet/database:data")
	var out strings.Builder
	if _, err := r.Render(t.Context(), strings.NewReader(harbor), &out); err != nil {
		t.Fatal(err)
	}
	for _, volume := range []string{"volumeName: \"shop.registry\"", "volumeHandle: shop.data-database-0", "volumeHandle: shop.data-database-1"} {
		if !strings.Contains(out.String(), volume) {
			t.Errorf("no %s in:\n%s", volume, out.String())
		}
	}
	if asked.Images != 1 {
		t.Errorf("images were asked for %d times", asked.Images)
	}

	r.Select = selectors(t, "Alertmanager/main")
	_, err := r.Render(t.Context(), strings.NewReader(harbor), &out)
	const want = "Alertmanager monitoring/main: spec.storage.volumeClaimTemplate.metadata.annotations[cephferry.io/migratable]: Forbidden: an operator names the claims of this template, so no pair can be rendered in advance; render with --create cluster"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestParseSelector(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `select "": must begin with KIND/NAME, such as StatefulSet/db:data or PersistentVolumeClaim/*`,
		"db":                     `select "db": must begin with KIND/NAME, such as StatefulSet/db:data or PersistentVolumeClaim/*`,
		"/db":                    `select "/db": must begin with KIND/NAME, such as StatefulSet/db:data or PersistentVolumeClaim/*`,
		"pvc/":                   `select "pvc/": must begin with KIND/NAME, such as StatefulSet/db:data or PersistentVolumeClaim/*`,
		"pvc/a,klass=x":          `select "pvc/a,klass=x": "klass=x" is neither class=CLASS nor labels=SELECTOR`,
		"pvc/a,class=":           `select "pvc/a,class=": "class=" is neither class=CLASS nor labels=SELECTOR`,
		"pvc/[":                  `select "pvc/[": pattern "[": syntax error in pattern`,
		"pvc/a,labels=app in x,": `select "pvc/a,labels=app in x,": unable to parse requirement: found 'x' expected: '('`,
	} {
		t.Run(text, func(t *testing.T) {
			if _, err := postrender.ParseSelector(text); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}
