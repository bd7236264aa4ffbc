package page

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// ask sends a request of a user.
func ask(t *testing.T, p *Page, user, method, path string, header ...string) *http.Response {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	request.Header.Set(userHeader, user)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	p.ServeHTTP(recorder, request)
	return recorder.Result()
}

// answer is the body of a request that must succeed.
func answer[T any](t *testing.T, p *Page, user, path string) T {
	t.Helper()
	response := ask(t, p, user, http.MethodGet, path)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", path, response.Status, body)
	}
	var into T
	if err := json.Unmarshal(body, &into); err != nil {
		t.Fatal(err)
	}
	return into
}

// names are the volumes of a part of the table.
func names(of volumesAnswer) []string {
	found := []string{}
	for _, r := range of.Rows {
		found = append(found, r.Namespace+"/"+r.Claim)
	}
	return found
}

var everybody = users{"admin": {"*"}, "shop": {"shop", Clusters}, "guest": {}, "unlucky": {"outage"}}

func TestWhoSeesWhichVolumes(t *testing.T) {
	p, _ := newPage(t, shop(), everybody)
	for user, want := range map[string][]string{
		"admin": {"mail/queue", "mail/spool", "shop/data-db-0", "shop/data-db-1", "shop/data-db-2"},
		"shop":  {"shop/data-db-0", "shop/data-db-1", "shop/data-db-2"},
	} {
		got := answer[volumesAnswer](t, p, user, "/api/volumes")
		if diff := cmp.Diff(want, names(got)); diff != "" || got.Total != len(want) {
			t.Errorf("%s sees %d volumes (-want +got):\n%s", user, got.Total, diff)
		}
	}
}

func TestNobodySeesMoreByAnotherWay(t *testing.T) {
	p, _ := newPage(t, shop(), everybody)
	o := answer[overviewAnswer](t, p, "shop", "/api/overview")
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "mail") || strings.Contains(string(text), "queue") {
		t.Errorf("the overview has another namespace's volumes: %s", text)
	}
	if o.Counts["all"] != 3 || o.AllNamespaces {
		t.Errorf("the overview counts %d volumes, all namespaces: %t", o.Counts["all"], o.AllNamespaces)
	}
	if diff := cmp.Diff([]string{Takeovers}, o.Hidden); diff != "" || len(o.Takeovers) != 0 || len(o.Clusters) != 2 {
		t.Errorf("hidden (-want +got), with %d takeovers and %d clusters:\n%s", len(o.Takeovers), len(o.Clusters), diff)
	}
	got := answer[volumesAnswer](t, p, "shop", "/api/volumes?q=queue")
	if got.Matching != 0 {
		t.Errorf("a search finds another namespace's volumes: %q", names(got))
	}
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		user, method, path string
		failure            error
		code               int
		says               string
	}{
		"who is not known is told so":                   {user: "nobody", path: "/api/overview", code: http.StatusUnauthorized, says: "nobody has that token"},
		"who is not known does not get the page either": {user: "nobody", path: "/", code: http.StatusUnauthorized, says: "nobody has that token"},
		"who may list nothing is told what is missing":  {user: "guest", path: "/api/overview", code: http.StatusForbidden, says: "the ClusterRole view"},
		"nor the table":                          {user: "guest", path: "/api/volumes", code: http.StatusForbidden, says: "in no namespace that has any"},
		"a volume of another namespace":          {user: "shop", path: "/api/volumes/mail/queue", code: http.StatusForbidden, says: `in namespace \"mail\"`},
		"one that is not there is not confirmed": {user: "shop", path: "/api/volumes/mail/none", code: http.StatusForbidden, says: `in namespace \"mail\"`},
		"a volume that is gone":                  {user: "admin", path: "/api/volumes/mail/none", code: http.StatusNotFound, says: "not found"},
		"an outage is no refusal":                {user: "unlucky", path: "/api/overview", code: http.StatusServiceUnavailable, says: "connection refused"},
		"an API server that fails":               {user: "admin", path: "/api/volumes", failure: errors.New("etcd is full"), code: http.StatusServiceUnavailable, says: "etcd is full"},
		"CRDs that are not installed": {user: "admin", path: "/api/volumes", code: http.StatusServiceUnavailable, says: "crds.enabled",
			failure: &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: "MigratableVolume"}}},
		"nothing can be written":      {user: "admin", method: http.MethodPost, path: "/api/volumes", code: http.StatusMethodNotAllowed, says: "only shows"},
		"nor deleted":                 {user: "admin", method: http.MethodDelete, path: "/api/volumes/shop/data-db-0", code: http.StatusMethodNotAllowed, says: "only shows"},
		"a selection that is none":    {user: "admin", path: "/api/volumes?show=lost", code: http.StatusBadRequest, says: `show=\"lost\"`},
		"a column that is none":       {user: "admin", path: "/api/volumes?sort=size", code: http.StatusBadRequest, says: `sort=\"size\"`},
		"a page before the first":     {user: "admin", path: "/api/volumes?offset=-1", code: http.StatusBadRequest, says: `offset=\"-1\"`},
		"a path that is none":         {user: "admin", path: "/api/secrets", code: http.StatusNotFound, says: "there is no"},
		"a file that is none":         {user: "admin", path: "/page.go", code: http.StatusNotFound, says: "not found"},
		"nothing outside of the page": {user: "admin", path: "/../handler.go", code: http.StatusBadRequest, says: "invalid URL path"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := shop()
			o.failure = test.failure
			p, _ := newPage(t, o, everybody)
			method := test.method
			if method == "" {
				method = http.MethodGet
			}
			response := ask(t, p, test.user, method, test.path)
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.code || !strings.Contains(string(body), test.says) {
				t.Errorf("got %s: %s; want %d: %s", response.Status, body, test.code, test.says)
			}
			if got := response.Header.Get("Content-Security-Policy"); got != policy {
				t.Errorf("policy %q", got)
			}
		})
	}
}

func TestFiles(t *testing.T) {
	p, _ := newPage(t, shop(), everybody)
	for path, kind := range map[string]string{"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/icon.svg": "image/svg+xml"} {
		response := ask(t, p, "admin", http.MethodGet, path)
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(got, kind) || len(body) == 0 {
			t.Errorf("%s: %s, %s, %d bytes", path, response.Status, got, len(body))
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, not %q", path, name, got, want)
			}
		}
		// Addresses in it: of SVG's name, and of nothing else.
		if text := strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", ""); strings.Contains(text, "http:") || strings.Contains(text, "https:") || strings.Contains(text, `"//`) {
			t.Errorf("%s has something from elsewhere", path)
		}
	}
}

func TestPartsOfTheTable(t *testing.T) {
	p, _ := newPage(t, shop(), everybody)
	for query, want := range map[string][]string{
		"limit=2":                        {"mail/queue", "mail/spool"},
		"limit=2&offset=4":               {"shop/data-db-2"},
		"offset=5":                       {},
		"offset=500":                     {},
		"descending=true&limit=1":        {"shop/data-db-2"},
		"sort=owner&limit=3":             {"mail/spool", "shop/data-db-0", "shop/data-db-1"},
		"sort=since&limit=1":             {"mail/spool"},
		"sort=node&descending=true":      {"shop/data-db-2", "mail/queue", "shop/data-db-1", "shop/data-db-0", "mail/spool"},
		"q=SHOP/":                        {"shop/data-db-0", "shop/data-db-1", "shop/data-db-2"},
		"q=east+node-2":                  {"shop/data-db-1"},
		"q=pods+wait":                    {"shop/data-db-0"},
		"q=nothing+like+that":            {},
		"show=moving":                    {"mail/queue", "shop/data-db-0", "shop/data-db-1"},
		"show=here":                      {"shop/data-db-2"},
		"show=elsewhere":                 {"shop/data-db-0"},
		"show=free":                      {"mail/spool"},
		"show=fenced":                    {"shop/data-db-2"},
		"show=unknown":                   {"mail/queue"},
		"show=moving&q=db&sort=state":    {"shop/data-db-1", "shop/data-db-0"},
		"show=all&sort=waiting&offset=4": {"shop/data-db-0"},
	} {
		got := answer[volumesAnswer](t, p, "admin", "/api/volumes?"+query)
		if diff := cmp.Diff(want, names(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestTheOverview(t *testing.T) {
	p, _ := newPage(t, shop(), everybody)
	got := answer[overviewAnswer](t, p, "admin", "/api/overview")
	if diff := cmp.Diff(map[string]int{"all": 5, "moving": 3, "here": 1, "elsewhere": 1, "free": 1, "fenced": 1, "unknown": 1}, got.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]fence{{Cluster: "east", Node: "east-node-2", Addresses: []string{"10.0.2.2"}, Volumes: 1, Example: "shop/data-db-2"}}, got.Fences); diff != "" {
		t.Errorf("fences (-want +got):\n%s", diff)
	}
	if last := got.History[0]; last.Claim != "data-db-1" || last.Last.Event != "fence-begun" || last.Last.By != "alice@example.com" {
		t.Errorf("the latest change is %v of %s", last.Last, last.Claim)
	}
	if east := got.Clusters[0]; east.Key != "east" || east.Problem != "not seen for 40 minutes" || east.Owns != 2 {
		t.Errorf("the first cluster is %v", east)
	}
	if taken := got.Takeovers[0]; taken.Phase != "Running" || taken.Taken != 1 || len(taken.Steps) != 3 {
		t.Errorf("the takeover is %v", taken)
	}
	if lost := got.Takeovers[1]; lost.From != "west" || lost.Node != "west-node-2" {
		t.Errorf("the takeover of a node is %v", lost)
	}
	if got.Stale != nil {
		t.Errorf("it is of %v", got.Stale)
	}
}

func TestOneVolume(t *testing.T) {
	p, _ := newPage(t, shop(), everybody)
	got := answer[volumeAnswer](t, p, "shop", "/api/volumes/shop/data-db-1")
	var events []string
	for _, c := range got.History {
		events = append(events, c.Event+" "+c.Cluster)
	}
	if diff := cmp.Diff([]string{"fence-begun west", "acquired east", "released north", "acquired north"}, events); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if got.State != "Fencing" || got.Takeover != "west, as alice@example.com decided" || !got.Keyed {
		t.Errorf("got %+v", got)
	}
}

func TestAnAnswerThatIsThereIsNotSentAgain(t *testing.T) {
	o := many(10_000)
	p, clock := newPage(t, o, everybody)
	first := ask(t, p, "admin", http.MethodGet, "/api/volumes", "Accept-Encoding", "gzip")
	packed, err := io.ReadAll(first.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpack, err := gzip.NewReader(strings.NewReader(string(packed)))
	if err != nil {
		t.Fatal(err)
	}
	var got volumesAnswer
	if err := json.NewDecoder(unpack).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Total != 10_000 || len(got.Rows) != rowsByDefault || len(packed) > 8<<10 {
		t.Errorf("%d of %d volumes in %d bytes", len(got.Rows), got.Total, len(packed))
	}
	tag := first.Header.Get("ETag")
	if again := ask(t, p, "admin", http.MethodGet, "/api/volumes", "If-None-Match", tag); again.StatusCode != http.StatusNotModified {
		t.Errorf("the same again: %s", again.Status)
	}
	// Another replica.
	other, _ := newPage(t, o, everybody)
	if again := ask(t, other, "admin", http.MethodGet, "/api/volumes", "If-None-Match", tag); again.StatusCode != http.StatusNotModified {
		t.Errorf("from another replica: %s", again.Status)
	}
	o.change("mail", "spool", func(s *v1alpha1.MigratableVolumeStatus) { s.Waiting = "somebody waits" })
	clock.advance(2 * time.Second)
	if again := ask(t, p, "admin", http.MethodGet, "/api/volumes", "If-None-Match", tag); again.StatusCode != http.StatusOK {
		t.Errorf("another answer: %s", again.Status)
	}
	if most := answer[volumesAnswer](t, p, "admin", "/api/volumes?limit=10000"); len(most.Rows) != rowsAtMost {
		t.Errorf("%d rows at once", len(most.Rows))
	}
}

func TestNothingIsKeptWhileNobodyLooks(t *testing.T) {
	o := shop()
	p, clock := newPage(t, o, everybody)
	numbers := func() (caches, running int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.caches, o.running
	}
	if caches, _ := numbers(); caches != 0 {
		t.Errorf("%d caches before anybody looks", caches)
	}
	for range 10 {
		answer[volumesAnswer](t, p, "admin", "/api/volumes")
		clock.advance(patience / 2)
	}
	if caches, running := numbers(); caches != 1 || running != 1 {
		t.Errorf("%d caches were made and %d run while somebody looks", caches, running)
	}
	clock.advance(patience)
	for _, running := numbers(); running != 0; _, running = numbers() {
		if t.Context().Err() != nil {
			t.Fatal("the cache has not ended")
		}
	}
	if p.Look.table != nil {
		t.Error("the table is kept")
	}
	answer[volumesAnswer](t, p, "admin", "/api/volumes")
	if caches, running := numbers(); caches != 2 || running != 1 {
		t.Errorf("%d caches were made and %d run when somebody looks again", caches, running)
	}
}

func TestManyWhoLookShareTheTable(t *testing.T) {
	o := shop()
	p, _ := newPage(t, o, everybody)
	for range 20 {
		answer[volumesAnswer](t, p, "shop", "/api/volumes")
	}
	if o.lists != 1 {
		t.Errorf("the volumes were read %d times within a second", o.lists)
	}
}

func TestAnAPIServerThatDoesNotAnswerIsSaid(t *testing.T) {
	o := shop()
	p, clock := newPage(t, o, everybody)
	answer[overviewAnswer](t, p, "admin", "/api/overview")
	p.Look.Probe = func(context.Context) error { return errors.New("connection refused") }
	clock.advance(probed)
	got := answer[overviewAnswer](t, p, "admin", "/api/overview")
	if got.Stale == nil || !got.Stale.Since.Equal(noon) || got.Stale.Cause != "connection refused" {
		t.Errorf("it is of %+v", got.Stale)
	}
	if got.Counts["all"] != 5 {
		t.Error("what was known is not shown")
	}
	p.Look.Probe = func(context.Context) error { return nil }
	clock.advance(probed)
	if got := answer[overviewAnswer](t, p, "admin", "/api/overview"); got.Stale != nil {
		t.Errorf("it answers again, and is of %+v", got.Stale)
	}
}

// TestReduce: what the cache keeps makes the same rows.
func TestReduce(t *testing.T) {
	for _, whole := range shop().volumes {
		small := whole.DeepCopy()
		small.ManagedFields = nil
		reduceVolume(small)
		want, got := newRow(&whole), newRow(small)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
			t.Errorf("%s (-whole +reduced):\n%s", whole.Name, diff)
		}
		if n := len(small.Status.History); n > 1 || slices.ContainsFunc(want.Notes, func(n note) bool { return n.Message == "" }) {
			t.Errorf("%s keeps %d changes", whole.Name, n)
		}
	}
}
