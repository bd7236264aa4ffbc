//go:build lab && linux

package page

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/test/browser"
)

// pictures is where screenshots go, if it is set: people look at them, tests cannot.
const pictures = "CEPHFERRY_SCREENSHOTS"

// site is the page as a browser reaches it, whose user can change.
type site struct {
	*httptest.Server
	objects *objects
	user    atomic.Value
	broken  atomic.Bool
}

func newSite(t *testing.T, o *objects, u users) *site {
	t.Helper()
	page, _ := newPage(t, o, u)
	page.Look.Now = time.Now
	s := &site{objects: o}
	s.user.Store("admin")
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.broken.Load() {
			panic(http.ErrAbortHandler) // as if the server were gone
		}
		r.Header.Set(userHeader, s.user.Load().(string))
		// As below a path of the API server's proxy.
		http.StripPrefix("/below/a/path", page).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) address() string { return s.URL + "/below/a/path/" }

func keep(t *testing.T, tab *browser.Tab, name string) {
	t.Helper()
	image := tab.Screenshot()
	if len(image) == 0 {
		t.Error("there is no screenshot")
	}
	if dir := os.Getenv(pictures); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), image, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// recent makes the times of objects such as they are in a cluster that works now.
func recent(o *objects) *objects {
	late := time.Since(noon).Truncate(time.Second)
	move := func(t *metav1.Time) {
		if !t.IsZero() {
			t.Time = t.Add(late)
		}
	}
	for i := range o.volumes {
		s := &o.volumes[i].Status
		if s.Owner != nil {
			move(s.Owner.Since)
		}
		for j := range s.History {
			move(&s.History[j].At)
		}
		for j := range s.Conditions {
			move(&s.Conditions[j].LastTransitionTime)
		}
	}
	for i := range o.clusters {
		move(o.clusters[i].Status.LastSeen)
	}
	for i := range o.takeovers {
		move(&o.takeovers[i].CreationTimestamp)
	}
	return o
}

const (
	live   = `document.getElementById("live").textContent === "Live"`
	rowsIn = `document.querySelectorAll("#table tbody tr").length`
)

func TestInABrowser(t *testing.T) {
	chromium := browser.Start(t)
	everybody := users{"admin": {"*"}, "team": {"mail"}, "guest": {}}

	t.Run("ten thousand volumes", func(t *testing.T) {
		s := newSite(t, recent(many(10_000)), everybody)
		tab := chromium.Open(t, s.address(), 1280, 900, "light")
		tab.Wait(live)
		tab.Wait(rowsIn + ` === 100`)
		tab.Wait(`document.getElementById("range").textContent === "1 to 100 of 10,000"`)
		tab.Wait(`document.querySelector("#volumes .count").textContent === "10,000"`)
		keep(t, tab, "many")

		// Every row can be reached: the last page, from the other end.
		tab.Eval(`document.querySelector('[data-sort="claim"] button').click()`, nil)
		tab.Wait(`document.querySelector("#table tbody [data-open]").textContent === "team-199/data-app-9"`)
		tab.Wait(`document.querySelector('[data-sort="claim"]').getAttribute("aria-sort") === "descending"`)
		tab.Eval(`document.getElementById("next").click()`, nil)
		tab.Wait(`document.getElementById("range").textContent === "101 to 200 of 10,000"`)

		// A search goes through all of them.
		tab.Eval(`document.getElementById("search").focus()`, nil)
		tab.Type("team-117 app-3 east")
		tab.Wait(`document.getElementById("range").textContent.startsWith("1 to ")`)
		var found []string
		tab.Wait(`[...document.querySelectorAll("#table tbody [data-open]")].every((b) => b.textContent.startsWith("team-117/data-app-3"))`)
		tab.Eval(`[...document.querySelectorAll("#table tbody tr")].map((tr) => tr.innerText)`, &found)
		if len(found) == 0 {
			t.Error("the search finds nothing")
		}
		for _, row := range found {
			if !strings.Contains(row, "team-117") || !strings.Contains(row, "east") {
				t.Errorf("the search finds %q", row)
			}
		}
		// The address has it, so that a reload shows the same.
		tab.Eval(`location.reload()`, nil)
		tab.Wait(`document.getElementById("search").value === "team-117 app-3 east" && ` + rowsIn + fmt.Sprintf(" === %d", len(found)))
	})

	t.Run("everything there is", func(t *testing.T) {
		s := newSite(t, recent(shop()), everybody)
		tab := chromium.Open(t, s.address(), 1280, 1000, "light")
		tab.Wait(live)
		for _, want := range []string{
			`document.title === "(3) west – cephferry"`,
			`document.getElementById("moves-list").innerText.includes("scale it down there")`,
			`document.getElementById("moves-list").innerText.includes("Taken by west, as alice@example.com decided")`,
			`document.getElementById("moves-list").innerText.includes("ceph gives no answer")`,
			`document.getElementById("clusters-table").innerText.includes("not seen for 40 minutes")`,
			`document.getElementById("fences-table").innerText.includes("10.0.2.2")`,
			`document.getElementById("takeovers-list").innerText.includes("from east, by alice@example.com, ")`,
			`document.getElementById("takeovers-list").innerText.includes("1 of 2 volumes")`,
			`document.getElementById("takeovers-list").innerText.includes("node west-node-2 of west, by bob@example.com, ")`,
			`document.getElementById("takeovers-list").lastElementChild.innerText.endsWith(": 1 of 1 volume")`,
			`document.getElementById("takeovers-list").innerText.includes("Done: Begun, MachinesFenced")`,
			`document.getElementById("history-list").firstElementChild.innerText.includes("fence begun by west (alice@example.com), from east")`,
			rowsIn + ` === 5`,
		} {
			tab.Wait(want)
		}
		keep(t, tab, "page")
		dark := chromium.Open(t, s.address(), 1280, 1000, "dark")
		dark.Wait(live)
		keep(t, dark, "dark")
	})

	t.Run("by keys alone", func(t *testing.T) {
		s := newSite(t, recent(shop()), everybody)
		tab := chromium.Open(t, s.address(), 1280, 900, "light")
		tab.Wait(live)
		tab.Press("Tab")
		tab.Wait(`document.activeElement.className === "skip"`)
		tab.Press("Enter")
		tab.Wait(`document.activeElement.id === "volumes"`)
		tab.Press("Tab")
		tab.Wait(`document.activeElement.id === "search"`)
		// Selection, six columns, first row.
		tab.Press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab")
		tab.Wait(`document.activeElement.dataset.open === "mail/queue"`)
		tab.Press("ArrowDown", "ArrowDown")
		tab.Wait(`document.activeElement.dataset.open === "shop/data-db-0"`)
		var outline string
		tab.Eval(`getComputedStyle(document.activeElement).outlineStyle`, &outline)
		if outline != "solid" {
			t.Errorf("what has the focus has outline %q", outline)
		}
		// The row changes under it, and the focus stays.
		s.objects.change("shop", "data-db-0", func(status *v1alpha1.MigratableVolumeStatus) { status.Waiting = "3 pods wait for cluster east" })
		tab.Wait(`document.getElementById("table").innerText.includes("3 pods wait")`)
		tab.Wait(`document.activeElement.dataset.open === "shop/data-db-0"`)
		tab.Press("Enter")
		tab.Wait(`document.getElementById("volume").open && document.getElementById("volume-body").innerText.includes("acquired by north")`)
		keep(t, tab, "volume")
		tab.Press("Escape")
		tab.Wait(`!document.getElementById("volume").open && document.activeElement.dataset.open === "shop/data-db-0"`)
	})

	t.Run("as assistive technology sees it", func(t *testing.T) {
		s := newSite(t, recent(shop()), everybody)
		for _, width := range []int{1280, 360} {
			tab := chromium.Open(t, s.address(), width, 800, "light")
			tab.Wait(live)
			has := map[browser.Node]int{}
			cells := 0
			for _, node := range tab.Accessible() {
				has[node]++
				if node.Role == "cell" {
					cells++
				}
			}
			if cells < 5*5 {
				t.Errorf("at %d pixels there are %d cells", width, cells)
			}
			for _, want := range []browser.Node{
				{Role: "heading", Name: "Volumes 5"}, {Role: "table", Name: "Volumes, their owners and who waits for them"},
				{Role: "searchbox", Name: "Search"}, {Role: "combobox", Name: "Show"}, {Role: "navigation", Name: "Sections"},
				{Role: "columnheader", Name: "State"}, {Role: "rowheader", Name: "shop/data-db-0"}, {Role: "StaticText", Name: "Held elsewhere"},
				{Role: "button", Name: "shop/data-db-0"}, {Role: "button", Name: "Next"},
			} {
				if has[want] == 0 {
					t.Errorf("at %d pixels there is no %s %q", width, want.Role, want.Name)
				}
			}
		}
	})

	t.Run("on a phone", func(t *testing.T) {
		s := newSite(t, recent(many(300)), everybody)
		tab := chromium.Open(t, s.address(), 360, 740, "dark")
		tab.Wait(live)
		tab.Wait(rowsIn + ` === 100`)
		var wide []string
		tab.Eval(`[...document.querySelectorAll("main *")].filter((e) => !e.closest(".unseen, thead") && e.getBoundingClientRect().right > 361).map((e) => e.outerHTML.slice(0, 100))`, &wide)
		if len(wide) > 0 {
			t.Errorf("wider than the screen: %q", wide)
		}
		var scrolls bool
		tab.Eval(`document.documentElement.scrollWidth > 360`, &scrolls)
		if scrolls {
			t.Error("the page scrolls sideways")
		}
		var low []string
		tab.Eval(`[...document.querySelectorAll("#table tbody button, #pages button, input, select")].filter((e) => e.getBoundingClientRect().height < 24).map((e) => e.outerHTML.slice(0, 100))`, &low)
		if len(low) > 0 {
			t.Errorf("too small for a finger: %q", low)
		}
		keep(t, tab, "phone-top")
		tab.Eval(`document.getElementById("volumes").scrollIntoView()`, nil)
		keep(t, tab, "phone-volumes")
	})

	t.Run("while things change and servers are away", func(t *testing.T) {
		s := newSite(t, recent(shop()), everybody)
		tab := chromium.Open(t, s.address(), 1280, 900, "light")
		tab.Wait(live)
		s.objects.change("mail", "spool", func(status *v1alpha1.MigratableVolumeStatus) { *status = heldBy("west", true, "west-node-7") })
		tab.Wait(`document.getElementById("table").innerText.includes("west-node-7")`)

		s.broken.Store(true)
		tab.Wait(`document.getElementById("live").textContent === "Not live" && document.getElementById("problem").textContent.includes("does not answer")`)
		tab.Wait(rowsIn + ` === 5`) // what was known is still there to read
		keep(t, tab, "not-live")
		s.objects.change("mail", "spool", func(status *v1alpha1.MigratableVolumeStatus) { status.Owner.Nodes = []string{"west-node-8"} })
		s.broken.Store(false)
		tab.Wait(live + ` && document.getElementById("table").innerText.includes("west-node-8") && document.getElementById("problem").hidden`)

		s.objects.fail(errors.New("connection refused"))
		tab.Wait(`document.getElementById("live").textContent === "Not live" && document.getElementById("problem").textContent.includes("connection refused")`)
		s.objects.fail(nil)
		tab.Wait(live)
	})

	t.Run("names are text", func(t *testing.T) {
		o := recent(shop())
		o.change("shop", "data-db-0", func(status *v1alpha1.MigratableVolumeStatus) {
			status.Waiting = `<img src=x onerror="document.title='broken into'"><script>document.title='broken into'</script>`
		})
		s := newSite(t, o, everybody)
		tab := chromium.Open(t, s.address(), 1280, 900, "light")
		tab.Wait(live)
		tab.Wait(`document.getElementById("table").innerText.includes("onerror") && document.querySelectorAll("main img, main script").length === 0`)
		// And what gets in nevertheless is not run, and cannot tell anybody.
		tab.Eval(`window.refused = [];
			document.addEventListener("securitypolicyviolation", (e) => refused.push(e.effectiveDirective));
			const script = document.createElement("script");
			script.textContent = "document.title = 'broken into'";
			document.body.append(script);
			fetch("http://127.0.0.1:1/elsewhere").catch(() => {}).then(() => 0)`, nil)
		tab.Wait(`refused.join(" ") === "script-src-elem connect-src" && !document.title.includes("broken")`)
	})

	t.Run("a user who may see one namespace, and one who may see none", func(t *testing.T) {
		s := newSite(t, recent(shop()), everybody)
		s.user.Store("team")
		tab := chromium.Open(t, s.address(), 1280, 900, "light")
		tab.Wait(live)
		tab.Wait(rowsIn + ` === 2 && document.getElementById("which").textContent.includes("namespaces whose volumes you may list")`)
		tab.Wait(`document.querySelector("#clusters-table + .empty").textContent === "You may not list these."`)
		var text string
		tab.Eval(`document.body.innerText`, &text)
		if strings.Contains(text, "shop") {
			t.Errorf("another namespace's volumes are shown:\n%s", text)
		}
		keep(t, tab, "team")

		// The right is taken away, and what was seen with it.
		s.user.Store("guest")
		tab.Wait(`document.getElementById("live").textContent === "Refused" && document.getElementById("problem").textContent.includes("ClusterRole view")`)
		tab.Wait(`document.getElementById("shown").hidden`)
		keep(t, tab, "refused")
		s.user.Store("nobody")
		tab.Wait(`document.getElementById("problem").textContent.includes("who asks is not known")`)
	})
}

func (o *objects) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failure = err
}
