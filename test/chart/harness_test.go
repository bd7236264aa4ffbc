//go:build lab

package chart

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/test/lab"
	"github.com/cephferry/cephferry/test/lab/labtest"
	"github.com/cephferry/cephferry/test/scene"
)

const (
	chartDir = "../../charts/cephferry"
	own      = "cephferry-system"
	admin    = "west-admin"
)

// world is a control plane, with the programs to use it, and a client for what is only
// waited for: kubectl takes longer to start than what it does.
type world struct {
	*scene.Cluster
	helm3, helm4, home string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := newOffline(t)
	var err error
	if w.Cluster, err = scene.Connect(labtest.Cluster(t, "west")); err != nil {
		t.Fatal(err)
	}
	return w
}

// newOffline returns a world that has both Helms and no cluster.
func newOffline(t *testing.T) *world {
	t.Helper()
	w := &world{Cluster: &scene.Cluster{Cluster: &lab.Cluster{}}, home: t.TempDir()}
	tools := lab.Tools(os.Getenv(lab.ToolsVariable))
	for name, path := range map[string]*string{"helm": &w.helm3, "helm4": &w.helm4} {
		var err error
		if *path, err = tools.Find(name); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// kubectl runs kubectl and returns its stdout.
func (w *world) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.Run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// refused runs a kubectl command that must fail, and returns what it says.
func (w *world) refused(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.Run(t.Context(), args...)
	if err == nil {
		t.Fatalf("kubectl %s: did not fail: %s", strings.Join(args, " "), out)
	}
	return err.Error()
}

// dryPatch asks whether an object may be changed, and changes nothing.
func (w *world) dryPatch(t *testing.T, resource, namespace, name, patch string) error {
	_, err := w.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource(resource)).Namespace(namespace).
		Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// apply applies manifests in a namespace, with kubectl if it is to do that in a special way.
func (w *world) apply(t *testing.T, namespace, manifests string, flags ...string) {
	t.Helper()
	if flags != nil {
		w.kubectl(t, w.applying(t, namespace, manifests, flags...)...)
	} else if err := w.ApplyIn(t.Context(), cmp.Or(namespace, "default"), manifests); err != nil {
		t.Fatal(err)
	}
}

// applying are the arguments of a kubectl that applies manifests.
func (w *world) applying(t *testing.T, namespace, manifests string, flags ...string) []string {
	t.Helper()
	return append([]string{"apply", "--server-side", "--namespace", cmp.Or(namespace, "default"), "--filename", w.write(t, manifests)}, flags...)
}

// write writes a file. It is not in the test's own folder: kubectl takes a comma in
// the name of a test for two files.
func (w *world) write(t *testing.T, text string) string {
	t.Helper()
	file, err := os.CreateTemp(w.home, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

// namespace makes a namespace, guarded if it has the label, and waits until pods
// can be made in it.
func (w *world) namespace(t *testing.T, name string, guarded bool) {
	t.Helper()
	object := applycorev1.Namespace(name)
	if guarded {
		object.WithLabels(map[string]string{guardedLabel: "true"})
	}
	// As kubectl apply --server-side does it.
	if _, err := w.Client.CoreV1().Namespaces().Apply(t.Context(), object, metav1.ApplyOptions{FieldManager: "kubectl"}); err != nil {
		t.Fatal(err)
	}
	scene.Eventually(t, "account default of "+name, func() error {
		_, err := w.Client.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
}

// waitPods waits until there are that many pods in a namespace.
func (w *world) waitPods(t *testing.T, namespace string, want int) {
	t.Helper()
	scene.Eventually(t, fmt.Sprintf("%d pods in %s", want, namespace), func() error {
		if pods := w.pods(t, namespace); len(pods) != want {
			return fmt.Errorf("there are %v", pods)
		}
		return nil
	})
}

func (w *world) pods(t *testing.T, namespace string) []string {
	t.Helper()
	listed, err := w.Client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, pod := range listed.Items {
		names = append(names, pod.Name)
	}
	return names
}

// runHelm runs a Helm (3 or 4) against the cluster.
func (w *world) runHelm(t *testing.T, helm int, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	program := w.helm3
	if helm == 4 {
		program = w.helm4
	}
	r := scene.Command{Program: program, Args: append(args, "--namespace", own),
		Env: map[string]string{"PATH": "/usr/bin:/bin", "HOME": w.home, "KUBECONFIG": w.Kubeconfig}}.Run(t.Context())
	return r.Stdout, r.Stderr, r.Err
}

func (w *world) helm(t *testing.T, helm int, args ...string) string {
	t.Helper()
	stdout, stderr, err := w.runHelm(t, helm, args...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}

// install installs the webhook configuration that the chart renders with these
// flags, with every webhook at url, and returns when the API server uses it.
// The generation tells this configuration from one before.
func (w *world) install(t *testing.T, url string, ca []byte, generation string, flags ...string) {
	t.Helper()
	manifest := w.helm(t, 3, append([]string{"template", "cephferry", chartDir,
		"--set", "cluster.name=west", "--show-only", "templates/validatingwebhookconfiguration.yaml"}, flags...)...)
	var configuration registrationv1.ValidatingWebhookConfiguration
	if err := yaml.UnmarshalStrict([]byte(manifest), &configuration); err != nil {
		t.Fatal(err)
	}
	for i := range configuration.Webhooks {
		client := &configuration.Webhooks[i].ClientConfig
		target := url + "/" + generation + *client.Service.Path
		client.URL, client.Service, client.CABundle = &target, nil, ca
	}
	data, err := yaml.Marshal(configuration)
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, "", string(data), "--force-conflicts")
}

// recorder is a webhook that allows everything and remembers what it was asked.
type recorder struct {
	*httptest.Server
	mutex   sync.Mutex
	reviews []review
}

// review is what a request was about. Its key is the namespace, or the name where
// there is none.
type review struct{ generation, key, text string }

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	r.Server = httptest.NewTLSServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

// ca is what signed the recorder's certificate.
func (r *recorder) ca() []byte { return encode(r.Certificate()) }

func encode(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

func (r *recorder) serve(response http.ResponseWriter, request *http.Request) {
	var asked admissionv1.AdmissionReview
	body, err := io.ReadAll(request.Body)
	if err == nil {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil || asked.Request == nil {
		http.Error(response, fmt.Sprint("not a review: ", err), http.StatusBadRequest)
		return
	}
	generation, endpoint, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/validate/")
	r.mutex.Lock()
	r.reviews = append(r.reviews, review{generation, cmp.Or(asked.Request.Namespace, asked.Request.Name), describe(endpoint, asked.Request)})
	r.mutex.Unlock()
	answer(response, asked.Request.UID)
}

// describe says what a review is about: the endpoint, the operation, the resource
// and, where it is not the administrator, who.
func describe(endpoint string, request *admissionv1.AdmissionRequest) string {
	resource := request.Resource.Resource
	if request.SubResource != "" {
		resource += "/" + request.SubResource
	}
	text := fmt.Sprint(endpoint, ": ", request.Operation, " ", resource)
	if user := request.UserInfo.Username; user != admin {
		text += " by " + user[strings.LastIndex(user, ":")+1:]
	}
	if request.DryRun != nil && *request.DryRun {
		text += ", dry run"
	}
	return text
}

func answer(response http.ResponseWriter, uid types.UID) {
	review := admissionv1.AdmissionReview{Response: &admissionv1.AdmissionResponse{UID: uid, Allowed: true}}
	review.APIVersion, review.Kind = "admission.k8s.io/v1", "AdmissionReview"
	response.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(response).Encode(review) // the API server went away
}

// take returns and forgets the reviews with that key, sorted.
func (r *recorder) take(generation, key string) []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var taken []string
	r.reviews = slices.DeleteFunc(r.reviews, func(v review) bool {
		if v.generation != generation || v.key != key {
			return false
		}
		taken = append(taken, v.text)
		return true
	})
	slices.Sort(taken)
	return taken
}
