//go:build lab

package provisioner

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/cephferry/cephferry/test/scene"
)

// TestAWorkstationNeedsHelmAndOneProgram: the renderer without a Ceph library, no
// other program in PATH, and the rights that Helm needs in the namespace. Flags are
// not needed either.
func TestAWorkstationNeedsHelmAndOneProgram(t *testing.T) {
	t.Parallel()
	for what, helm := range map[string]string{"Helm 3": programs.helm, "Helm 4": programs.helm4} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			tm := newTeam(t)
			machine := newWorkstation(tm, helm)
			images := map[string]string{"web-files": tm.image("web-files"), "data-db-0": tm.image("data-db-0")}
			run := func(command string) {
				t.Helper()
				for _, chart := range []string{"web", "db"} {
					machine.must(machine.helm(append(charted(command, chart), "--post-renderer", machine.renderer)...))
				}
				for claim, image := range images {
					tm.bound(east, claim, image)
				}
				for _, workload := range []string{"deployment/web", "statefulset/db"} {
					tm.Kubectl(east, "rollout", "status", workload, "--timeout=60s")
				}
			}
			run("install")
			first := tm.get(east, "web-files").UID
			// Without the renderer Kubernetes refuses what the chart says.
			for _, chart := range []string{"web", "db"} {
				if err := machine.helm(charted("upgrade", chart)...); err == nil || !strings.Contains(err.Error(), "spec: Forbidden") {
					t.Errorf("an upgrade of %s without the renderer: %v", chart, err)
				}
			}
			run("upgrade")
			if tm.get(east, "web-files").UID != first {
				t.Error("the upgrade made another claim")
			}
			for _, name := range []string{"web", "db"} {
				machine.must(machine.helm("uninstall", name, "--wait"))
			}
			tm.noPods(east)
			begin := time.Now()
			run("install")
			t.Logf("bound and running %s later", time.Since(begin).Round(time.Millisecond))
			if tm.get(east, "web-files").UID == first {
				t.Error("the claim outlived its release")
			}
			for _, image := range images {
				tm.wrote(image, east)
			}
		})
	}
}

// charted are the arguments that install or upgrade the release of a chart of that
// name. The web's claim names its class, the StatefulSet's has the default one.
func charted(command, chart string) []string {
	return []string{command, chart, "../../testdata/charts/" + chart,
		"--set", "persistence.size=16Mi,persistence.storageClass=" + map[string]string{"web": "ceph-block"}[chart],
		"--set-string", `persistence.annotations.cephferry\.io/migratable=true`}
}

// workstation is a machine with Helm and the static build of the renderer.
type workstation struct {
	*team
	bin, kubeconfig, plugins string
	// renderer is what --post-renderer takes.
	renderer string
}

func newWorkstation(tm *team, helm string) workstation {
	tm.Helper()
	w := workstation{team: tm, bin: tm.TempDir(), kubeconfig: tm.tenant(east), renderer: "cephferry"}
	tm.must(os.Symlink(helm, filepath.Join(w.bin, "helm")))
	w.plugins = filepath.Join(filepath.Dir(programs.postrender), "helm4")
	static := filepath.Join(w.plugins, "cephferry", "bin", "postrender")
	info, err := buildinfo.ReadFile(static)
	if err != nil {
		tm.Fatalf("find the static build: %v; `make helm4-plugin` makes it", err)
	}
	if !slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "0"}) {
		tm.Errorf("%s is built with cgo", static)
	}
	if helm != programs.helm4 {
		w.renderer = "postrender"
		w.plugins = tm.TempDir() // Helm 3 does not load a plugin of Helm 4
		tm.must(os.Symlink(static, filepath.Join(w.bin, w.renderer)))
	}
	return w
}

// helm runs helm with what the machine has.
func (w workstation) helm(args ...string) error {
	w.Helper()
	env := map[string]string{"PATH": w.bin, "HOME": w.TempDir(), "KUBECONFIG": w.kubeconfig, "HELM_PLUGINS": w.plugins}
	if out, err := w.execute(env, filepath.Join(w.bin, "helm"), args...); err != nil {
		return fmt.Errorf("helm %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// tenant is the kubeconfig of somebody who may edit in the team's namespace, which
// is its context's, and has no right outside of it.
func (tm *team) tenant(c *scene.Cluster) (kubeconfig string) {
	tm.Helper()
	tm.Kubectl(c, "create", "serviceaccount", "tenant")
	tm.Kubectl(c, "create", "rolebinding", "tenant", "--clusterrole=edit", "--serviceaccount="+tm.Namespace+":tenant")
	for _, verb := range []string{"get", "list", "create", "patch", "delete"} {
		review, err := c.Client.AuthorizationV1().SubjectAccessReviews().Create(tm.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:" + tm.Namespace + ":tenant",
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: "persistentvolumes"},
			},
		}, metav1.CreateOptions{})
		tm.must(err)
		if review.Status.Allowed {
			tm.Errorf("a tenant may %s PersistentVolumes", verb)
		}
	}
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	tm.must(err)
	config.AuthInfos = map[string]*api.AuthInfo{"tenant": {Token: strings.TrimSpace(tm.Kubectl(c, "create", "token", "tenant"))}}
	config.Contexts[config.CurrentContext].AuthInfo = "tenant"
	config.Contexts[config.CurrentContext].Namespace = tm.Namespace
	kubeconfig = filepath.Join(tm.TempDir(), "kubeconfig")
	tm.must(clientcmd.WriteToFile(*config, kubeconfig))
	return kubeconfig
}
