package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/inventory"
	"github.com/cephferry/cephferry/pkg/version"
	"github.com/cephferry/cephferry/pkg/volumes"
)

var since = time.Date(2026, 11, 22, 14, 3, 0, 0, time.UTC)

func runWith(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, streams{stdin: strings.NewReader(stdin), stdout: &out, stderr: &err})
	return code, out.String(), err.String()
}

func TestVersion(t *testing.T) {
	if code, out, _ := runWith(t, "", "--version"); code != 0 || out != version.String()+"\n" {
		t.Errorf("%d %q", code, out)
	}
}

func TestErrorsBeforeAnyConnection(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown command":         {[]string{"steal"}, `error: unknown command "steal" for "kubectl cephferry"`},
		"unknown flag":            {[]string{"status", "--colour"}, "error: unknown flag: --colour"},
		"a selector of nothing":   {[]string{"status", "-l", "a=b=c"}, "error: --selector a=b=c: "},
		"names and a selector":    {[]string{"status", "data", "-l", "a=b"}, "error: --selector a=b: name claims, or select them"},
		"clusters in xml":         {[]string{"clusters", "-o", "xml"}, "error: --output xml: must be wide, json, yaml, name or jsonpath=TEMPLATE"},
		"unknown output":          {[]string{"status", "-o", "xml"}, "error: --output xml: must be wide, json, yaml, name or jsonpath=TEMPLATE"},
		"unknown output, direct":  {[]string{"status", "-o", "name", "--direct"}, "error: --output name: must be json or yaml"},
		"no template":             {[]string{"status", "-o", "jsonpath="}, "error: --output jsonpath=: template format specified but no template given"},
		"a fleet in xml":          {[]string{"fleet", "-o", "xml"}, "error: --output xml: must be json or yaml"},
		"failover of nothing":     {[]string{"failover"}, "error: name claims: NAMESPACE/CLAIM, or all that a cluster owns: --all --from CLUSTER"},
		"failover of both":        {[]string{"failover", "shop/data", "--all", "--from", "east"}, "error: claims or --node, --all, and --takeover: only one of them"},
		"a node by its Takeover":  {[]string{"failover", "shop/data", "--node", "west-1", "--takeover", "lost"}, "error: claims or --node, --all, and --takeover: only one of them"},
		"a node of east":          {[]string{"failover", "--node", "east-1", "--from", "east"}, "error: --node: it is one of this cluster, so --from, "},
		"a node that is not lost": {[]string{"failover", "shop/data", "--direct", "--although-reporting"}, "error: --although-reporting: name the node with --node"},
		"all of whom":             {[]string{"failover", "--all"}, "error: --all: name the cluster that is dead with --from"},
		"by another person":       {[]string{"failover", "shop/data", "--by", "ann"}, "error: --by: only with --direct; "},
		"drop what":               {[]string{"failover", "shop/data", "--drop"}, "error: --drop: only with --direct"},
		"move to nowhere":         {[]string{"move", "sts/db", "--from-context", "east"}, "error: name both clusters with --from-context and --to-context"},
		"move of nothing":         {[]string{"move", "--from-context", "east", "--to-context", "west"}, "error: name workloads, such as statefulset/db, "},
		"move of both":            {[]string{"move", "sts/db", "--all", "--from-context", "east", "--to-context", "west"}, "error: name workloads, such as statefulset/db, "},
		"move of a pod":           {[]string{"move", "pod/db", "--from-context", "east", "--to-context", "west"}, `error: "pod/db" is not a workload that can be moved: deployment/NAME or statefulset/NAME`},
		"move in no time":         {[]string{"move", "sts/db", "--from-context", "east", "--to-context", "west", "--timeout", "0s"}, "error: --timeout 0s: must be more than zero"},
		"yes without a name":      {[]string{"failover", "shop/data", "--yes"}, "error: --yes: name the cluster that is dead with --from, so that it cannot be the wrong one"},
		"unfence nothing":         {[]string{"unfence"}, "error: requires at least 1 arg(s), only received 0"},
		"history of nothing":      {[]string{"history"}, "error: name one claim, or one image with --image"},
		"history of both":         {[]string{"history", "shop/data", "--image", "rbd/data"}, "error: name one claim, or one image with --image"},
		"history of no image":     {[]string{"history", "--image", "data"}, "error: --image data: must be pool/name or pool/namespace/name"},
		"history of a pool":       {[]string{"history", "--image", "rbd//data"}, "error: --image rbd//data: must be pool/name or pool/namespace/name"},
		"release of nothing":      {[]string{"release"}, "error: name claims, or one image with --image"},
		"release of both":         {[]string{"release", "shop/data", "--image", "rbd/data", "--cluster-id", "rook-ceph"}, "error: name claims, or one image with --image"},
		"release of half":         {[]string{"release", "--image", "rbd/data"}, "error: --image and --cluster-id: one needs the other"},
		"export of nothing":       {[]string{"export"}, "error: name claims: NAMESPACE/CLAIM"},
		"import of nothing":       {[]string{"import"}, "error: accepts 1 arg(s), received 0"},
		"import of no file":       {[]string{"import", empty + ".none"}, "error: read what was exported: open "},
		"check of a claim":        {[]string{"check", "data"}, `error: unknown command "data" for "kubectl cephferry check"`},
		"restore of whom":         {[]string{"restore", "--direct"}, "error: name the cluster that is lost with --from"},
		"restore from objects":    {[]string{"restore", "--from", "east"}, "error: restore asks Ceph itself, because no object of this cluster knows the claims that another one had: pass --direct"},
		"restore of no mode":      {[]string{"restore", "--direct", "--from", "east", "--access-mode", "RWO"}, "error: --access-mode RWO: must be ReadWriteOnce, "},
		"restore as a file":       {[]string{"restore", "--direct", "--from", "east", "--volume-mode", "file"}, "error: --volume-mode file: must be Filesystem or Block"},
		"compare to nothing":      {[]string{"compare", "--from-context", "east"}, "error: name both clusters with --from-context and --to-context"},
		"compare all and one":     {[]string{"compare", "-A", "shop/data", "--from-context", "east", "--to-context", "west"}, "error: --all-namespaces: name claims, or take all of them"},
		"compare by one key":      {[]string{"compare", "--ceph-id", "ann", "--from-context", "east", "--to-context", "west"}, "error: --ceph-conf, --ceph-id and --ceph-keyring: compare asks Ceph as each cluster reaches it; leave them out"},
		"compare in xml":          {[]string{"compare", "-o", "xml", "--from-context", "east", "--to-context", "west"}, "error: --output xml: must be json or yaml"},
		"adopt of nothing":        {[]string{"adopt"}, "error: requires at least 1 arg(s), only received 0"},
		"adopt in no time":        {[]string{"adopt", "shop/data", "--timeout", "0s"}, "error: --timeout 0s: must be more than zero"},
		"move in a pod":           {[]string{"move", "sts/db", "--in-cluster"}, "error: --in-cluster: move does not run in a pod"},
		"a file in a pod":         {[]string{"status", "--ceph-conf", empty, "--in-cluster"}, "error: --ceph-conf and --ceph-keyring: the pod has no file of this machine; leave out --in-cluster"},
		"a watch in a pod":        {[]string{"status", "--watch", "--in-cluster"}, "error: --watch: a pod that watches would be ended; leave out one of --watch and --in-cluster"},
		"a question in a pod":     {[]string{"failover", "shop/data", "--in-cluster"}, "error: --in-cluster: nobody can answer the pod; "},
		"rekey of nothing":        {[]string{"rekey"}, "error: name claims, or those of a namespace with --all"},
		"rekey of both":           {[]string{"rekey", "shop/data", "--all"}, "error: name claims, or those of a namespace with --all"},
		"release of a cluster":    {[]string{"release", "shop/data", "--cluster-id", "rook-ceph"}, "error: --image and --cluster-id: one needs the other"},
		"a kubeconfig of nothing": {[]string{"--kubeconfig", empty, "status"}, "error: find the cluster: no kubeconfig was found, and --server names none"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := runWith(t, "", test.args...)
			if code != 1 || out != "" || !strings.HasPrefix(stderr, test.want) {
				t.Errorf("%d, %q, %q; want %q", code, out, stderr, test.want)
			}
		})
	}
}

func TestClaimArgs(t *testing.T) {
	got, err := claimArgs([]string{"shop/data-db-0", "cache"}, "here")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]claim{{"shop", "data-db-0"}, {"here", "cache"}}, got, cmp.AllowUnexported(claim{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, bad := range []string{"", "/data", "shop/", "pvc/shop/data"} {
		if got, err := claimArgs([]string{bad}, "here"); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestSettings(t *testing.T) {
	flags := settingFlags{
		cluster: "west", scope: "all", secret: "ceph/node", configNamespaces: []string{"ceph"},
		secrets: []string{"far=vault/far"}, local: []string{"10.1.2.3/8"}, exempt: []string{"fd00::/64"},
	}
	want := settings{
		cluster: "west", scope: volumes.ScopeAll, secret: corev1.SecretReference{Namespace: "ceph", Name: "node"}, configNamespaces: []string{"ceph"},
		secrets: map[string]corev1.SecretReference{"far": {Namespace: "vault", Name: "far"}},
		local:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, exempt: []netip.Prefix{netip.MustParsePrefix("fd00::/64")},
	}
	got, err := flags.parse()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(settings{}), cmpopts.EquateComparable(netip.Prefix{})); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for name, test := range map[string]struct {
		change func(*settingFlags)
		want   string
	}{
		"scope":   {func(s *settingFlags) { s.scope = "some" }, "--scope some: must be migratable or all"},
		"secret":  {func(s *settingFlags) { s.secret = "node" }, "--ceph-secret node: must be namespace/name"},
		"secrets": {func(s *settingFlags) { s.secrets = []string{"vault/far"} }, "--cluster-ceph-secret vault/far: must be clusterID=namespace/name"},
		"local":   {func(s *settingFlags) { s.local = []string{"10.0.0.1"} }, `--local-cidr 10.0.0.1: netip.ParsePrefix("10.0.0.1"): no '/'`},
	} {
		bad := flags
		test.change(&bad)
		if _, err := bad.parse(); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v; want %s", name, err, test.want)
		}
	}
}

func TestStatusTable(t *testing.T) {
	owner := &ceph.Owner{Party: ceph.Party{Name: "east"}, Since: since}
	rows := []inventory.Status{
		{Namespace: "shop", Claim: "data", Image: "rbd/shop.data", State: "held", Owner: owner, Watchers: []inventory.Watcher{{Address: "10.0.1.11:0/1"}, {Foreign: "not a node of this cluster"}}},
		{Namespace: "shop", Claim: "idle", Image: "rbd/shop.idle", State: "free"},
		{Namespace: "shop", Claim: "moving", Image: "rbd/shop.moving", State: "fencing", Owner: owner, Takeover: &ceph.Takeover{Party: ceph.Party{Name: "west"}}, Watchers: []inventory.Watcher{{Exempt: true}}},
		{Namespace: "shop", Claim: "odd", State: "unknown", Error: "ceph does not answer"},
	}
	now, self := since.Add(3*time.Hour), ceph.Party{UID: "7a3f1c2e-0d6b-4f4e-9a55-c1f0e2b3d4a5", Name: "west"}
	rows[2].Takeover.UID = self.UID
	want := [][]string{
		{"shop", "data", "rbd/shop.data", "east", "3h", "held", "1 ours, 1 foreign"},
		{"shop", "idle", "rbd/shop.idle", "-", "-", "free", "nobody"},
		{"shop", "moving", "rbd/shop.moving", "east -> west", "3h", "fencing", "1 exempt"},
		{"shop", "odd", "-", "-", "-", "unknown", "cannot know: ceph does not answer"},
	}
	for i, row := range rows {
		if diff := cmp.Diff(want[i], cells(row, self, now)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}

	// A watch shows the rows that changed, without a head.
	var out bytes.Buffer
	s := &directStatus{statusOptions: &statusOptions{options: &options{std: streams{stdout: &out}}}}
	changed := append([]inventory.Status{}, rows...)
	changed[1].State = "held"
	if err := s.print(changed, rows); err != nil || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "idle") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := anyUnknown(rows, "", &out); exitCode(err) != exitUnknown {
		t.Errorf("a volume that is not known: %v", err)
	}
	if err := anyUnknown(rows[:3], "", &out); err != nil {
		t.Errorf("all are known: %v", err)
	}
}

func TestAnotherClusterOfThisName(t *testing.T) {
	self := ceph.Party{UID: "7a3f1c2e-0d6b-4f4e-9a55-c1f0e2b3d4a5", Name: "east"}
	dead := ceph.Party{UID: "11111111-0d6b-4f4e-9a55-c1f0e2b3d4a5", Name: "east"}
	for name, test := range map[string]struct {
		row  inventory.Status
		want string
	}{
		"oneself":                    {inventory.Status{Owner: &ceph.Owner{Party: self}}, "east"},
		"the dead one":               {inventory.Status{Owner: &ceph.Owner{Party: dead}}, "east (another cluster, 11111111)"},
		"the dead one, and oneself":  {inventory.Status{Owner: &ceph.Owner{Party: dead}, Takeover: &ceph.Takeover{Party: self}}, "east (another cluster, 11111111) -> east"},
		"a takeover by another east": {inventory.Status{Owner: &ceph.Owner{Party: self}, Takeover: &ceph.Takeover{Party: dead}}, "east -> east (another cluster, 11111111)"},
	} {
		if got := cells(test.row, self, since)[3]; got != test.want {
			t.Errorf("%s: %q; want %q", name, got, test.want)
		}
	}
	// With -o json, the uid is there anyway.
	document, err := (&directStatus{statusOptions: &statusOptions{output: "json"}}).document([]inventory.Status{{Owner: &ceph.Owner{Party: dead}}})
	if err != nil || !strings.Contains(string(document), `"uid": "`+dead.UID+`"`) {
		t.Errorf("%v\n%s", err, document)
	}
}

func TestClustersTable(t *testing.T) {
	self := ceph.Party{UID: "u-west", Name: "west"}
	rows := []ceph.Registration{
		{Party: ceph.Party{UID: "u-east", Name: "east"}, Version: "v0.9.0", Nodes: make([]ceph.Node, 12), Written: since},
		{Party: ceph.Party{UID: "u-other", Name: "west"}, Version: "v0.9.1", Written: since.Add(time.Hour)},
		{Party: self, Version: "v0.9.1", Nodes: make([]ceph.Node, 3), Written: since.Add(59 * time.Minute)},
	}
	unread := []ceph.RegistrationOf{{UID: "u-later", Err: fmt.Errorf("read registration \"rbd/cephferry.cluster.u-later\": %w", ceph.ErrRegistrationUnknown)}}
	var out bytes.Buffer
	c := directClusters{&clustersOptions{options: &options{std: streams{stdout: &out}}}}
	if err := c.print(registeredRows(rows, unread, self), since.Add(59*time.Minute+20*time.Second)); exitCode(err) != exitUnknown {
		t.Errorf("one cannot be read: %v", err)
	}
	want := `NAME                  UID       VERSION   NODES   LAST WRITTEN
east                  u-east    v0.9.0    12      59m ago
west                  u-other   v0.9.1    0       0s ago
west (this cluster)   u-west    v0.9.1    3       20s ago
-                     u-later   cannot know: read registration "rbd/cephferry.cluster.u-later": the cluster's registration is not one this version understands; use the version of cephferry that wrote it, or a later one; change nothing by hand
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestClustersDocument(t *testing.T) {
	self := ceph.Party{UID: "u-west", Name: "west"}
	rows := registeredRows([]ceph.Registration{{Party: self, Version: "v1", Nodes: []ceph.Node{{Name: "w1", BootID: "b1"}}, Written: since}}, nil, self)
	want := "clusters:\n- name: west\n  nodes:\n  - bootID: b1\n    name: w1\n  thisCluster: true\n  uid: u-west\n  version: v1\n  written: \"2026-11-22T14:03:00Z\"\n"
	for output, want := range map[outputFormat]string{
		"yaml": want,
		"json": "{\n  \"clusters\": [\n    {\n      \"name\": \"west\",\n      \"uid\": \"u-west\",\n      \"version\": \"v1\",\n      \"thisCluster\": true,\n      \"nodes\": [\n        {\n          \"name\": \"w1\",\n          \"bootID\": \"b1\"\n        }\n      ],\n      \"written\": \"2026-11-22T14:03:00Z\"\n    }\n  ]\n}\n",
	} {
		var out bytes.Buffer
		c := directClusters{&clustersOptions{options: &options{std: streams{stdout: &out}}, output: output}}
		if err := c.print(rows, since); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s, -want +got:\n%s", output, diff)
		}
	}
}

func TestHistoryTable(t *testing.T) {
	east, west := ceph.Party{Name: "east"}, ceph.Party{Name: "west"}
	record := ceph.Record{
		State: ceph.Held, Owner: &ceph.Owner{Party: west, Namespace: "shop", Claim: "data", Since: since},
		History: []ceph.Change{
			{At: since, Event: ceph.Acquired, Party: east},
			{At: since, Event: ceph.TakenOver, Party: west, By: "ann", From: &east, Fenced: []string{"10.0.1.11:0/0", "10.0.1.11:0/1"}},
		},
	}
	var out bytes.Buffer
	if err := printHistory(&out, ceph.ImageSpec{Pool: "rbd", Name: "shop.data"}, record); err != nil {
		t.Fatal(err)
	}
	want := `image rbd/shop.data: cluster west owns it, claim shop/data, since 2026-11-22T14:03:00Z
TIME                   EVENT        CLUSTER   FROM   BY    FENCED
2026-11-22T14:03:00Z   acquired     east      -      -     -
2026-11-22T14:03:00Z   taken-over   west      east   ann   10.0.1.11:0/0,10.0.1.11:0/1
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The webhook's own account may look for its Deployment in its namespace only.
func TestSettingsInThePod(t *testing.T) {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "cephferry-system", Name: "cephferry", Labels: map[string]string{"app.kubernetes.io/name": "cephferry"}}}
	deployment.Spec.Template.Spec.Containers = []corev1.Container{{Args: []string{"--cluster-name=west", "--webhook-port=9443"}}}
	api := shows(t, interceptor.Funcs{List: func(ctx context.Context, api client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		var of client.ListOptions
		of.ApplyOptions(options)
		if of.Namespace != "cephferry-system" {
			return apierrors.NewForbidden(appsv1.Resource("deployments"), "", errors.New("everywhere"))
		}
		return api.List(ctx, list, options...)
	}}, deployment)
	o := &options{}
	o.addFlags(pflag.NewFlagSet("", pflag.ContinueOnError))
	got, err := o.readSettings(t.Context(), api, "cephferry-system")
	if err != nil || got.cluster != "west" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := o.readSettings(t.Context(), api, "shop"); !apierrors.IsForbidden(err) {
		t.Errorf("in another namespace: %v", err)
	}
}
