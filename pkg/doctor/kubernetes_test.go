package doctor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cephferry/cephferry/pkg/doctor"
)

func serverVersion(version string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return version, err }
}

func TestCluster(t *testing.T) {
	want := doctor.Finding{State: doctor.OK, Check: "cluster", Says: "Kubernetes v1.36.3, https://east"}
	if diff := cmp.Diff(want, doctor.Cluster(t.Context(), serverVersion("v1.36.3", nil), "https://east")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	want = doctor.Finding{State: doctor.Problem, Check: "cluster", Says: "https://east: no route to host", Do: "kubectl cluster-info, and pass --kubeconfig and --kube-context if it is not the cluster you mean"}
	if diff := cmp.Diff(want, doctor.Cluster(t.Context(), serverVersion("", errors.New("no route to host")), "https://east")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// client answers from these objects, and with the errors for those resources.
func client(t *testing.T, failing map[string]error, objects ...runtime.Object) *fake.FakeDynamicClient {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{admissionv1.AddToScheme, appsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewSimpleDynamicClient(scheme, objects...)
	for resource, err := range failing {
		c.PrependReactor("*", resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
	}
	return c
}

func forbidden(resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("no"))
}

var labels = map[string]string{"app.kubernetes.io/name": "cephferry", "app.kubernetes.io/version": "1.2.0"}

func configuration() *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "cephferry", Labels: labels},
		Webhooks:   []admissionv1.ValidatingWebhook{{ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "ferry"}}}},
	}
}

func deployment(version string, ready int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "cephferry", Namespace: "ferry", Labels: map[string]string{"app.kubernetes.io/name": "cephferry", "app.kubernetes.io/version": version}},
		Status:     appsv1.DeploymentStatus{Replicas: 2, ReadyReplicas: ready},
	}
}

func TestInstallation(t *testing.T) {
	const look = "kubectl --namespace ferry get deployments,pods --selector app.kubernetes.io/name=cephferry"
	tests := map[string]struct {
		failing map[string]error
		objects []runtime.Object
		want    doctor.Finding
	}{
		"it runs": {
			objects: []runtime.Object{configuration(), deployment("1.2.0", 2)},
			want:    doctor.Finding{State: doctor.OK, Says: "version 1.2.0 in namespace ferry, 2 of 2 pods ready"},
		},
		"no right to look at all": {
			failing: map[string]error{"validatingwebhookconfigurations": forbidden("validatingwebhookconfigurations")},
			want:    doctor.Finding{State: doctor.Skipped, Says: "you have no right to see whether it is installed (list validatingwebhookconfigurations); the platform team has"},
		},
		"no right to look at its namespace": {
			failing: map[string]error{"deployments": forbidden("deployments")},
			objects: []runtime.Object{configuration()},
			want:    doctor.Finding{State: doctor.Skipped, Says: "it is installed, and you have no right to see whether it runs (list deployments in namespace ferry); the platform team has"},
		},
		"an outage": {
			failing: map[string]error{"validatingwebhookconfigurations": errors.New("etcd is down")},
			want:    doctor.Finding{State: doctor.Problem, Says: "etcd is down", Do: "kubectl get validatingwebhookconfigurations"},
		},
		"an outage, half way": {
			failing: map[string]error{"deployments": errors.New("etcd is down")},
			objects: []runtime.Object{configuration()},
			want:    doctor.Finding{State: doctor.Problem, Says: "etcd is down", Do: look},
		},
		"not installed": {
			want: doctor.Finding{
				State: doctor.Problem, Says: "it is not installed in this cluster: nobody makes volumes, and nothing keeps two clusters off one image",
				Do: "helm install cephferry charts/cephferry --namespace cephferry-system --create-namespace --set cluster.name=NAME",
			},
		},
		"the Deployment is gone": {
			objects: []runtime.Object{configuration()},
			want:    doctor.Finding{State: doctor.Problem, Says: "its webhooks point to namespace ferry, which has no Deployment of it", Do: look},
		},
		"nothing is ready": {
			objects: []runtime.Object{configuration(), deployment("1.2.0", 0)},
			want:    doctor.Finding{State: doctor.Problem, Says: "no pod of Deployment ferry/cephferry is ready", Do: "kubectl --namespace ferry logs deployment/cephferry"},
		},
		"another minor version": {
			objects: []runtime.Object{configuration(), deployment("1.1.9", 2)},
			want:    doctor.Finding{State: doctor.Problem, Says: "the cluster runs version 1.1.9, and this is 1.2.3", Do: "use the renderer of that version, or upgrade the chart to this one"},
		},
		"a version that is none": {
			objects: []runtime.Object{configuration(), deployment("latest", 2)},
			want:    doctor.Finding{State: doctor.Problem, Says: "the cluster runs version latest, and this is 1.2.3", Do: "use the renderer of that version, or upgrade the chart to this one"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.want.Check = "cephferry"
			got := doctor.Installation(t.Context(), client(t, test.failing, test.objects...), self)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRights(t *testing.T) {
	// allow answers reviews: everything but these verbs on a resource.
	allow := func(denied map[string]string, err error) *fake.FakeDynamicClient {
		c := client(t, nil)
		c.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
			object := action.(clienttesting.CreateAction).GetObject().(*unstructured.Unstructured)
			asked, _, _ := unstructured.NestedStringMap(object.Object, "spec", "resourceAttributes")
			allowed := denied[asked["resource"]] != asked["verb"] && denied[asked["resource"]] != "*"
			if allowed && asked["resource"] != "persistentvolumes" && asked["namespace"] != "shop" {
				t.Errorf("asked for the whole cluster: %v", asked)
			}
			_ = unstructured.SetNestedField(object.Object, allowed, "status", "allowed")
			return true, object, err
		})
		c.PrependReactor("create", "selfsubjectreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
			object := action.(clienttesting.CreateAction).GetObject().(*unstructured.Unstructured)
			_ = unstructured.SetNestedField(object.Object, "alice", "status", "userInfo", "username")
			return true, object, nil
		})
		return c
	}
	all := append(doctor.ReleaseRights(), doctor.PairRights())
	tests := map[string]struct {
		client *fake.FakeDynamicClient
		want   []doctor.Finding
	}{
		"all of them": {
			client: allow(nil, nil),
			want:   []doctor.Finding{{State: doctor.OK, Check: "rights", Says: "enough for persistentvolumeclaims, statefulsets, secrets, persistentvolumes, in namespace shop"}},
		},
		"a tenant has no right to PersistentVolumes, and cannot delete": {
			client: allow(map[string]string{"persistentvolumes": "*", "persistentvolumeclaims": "delete"}, nil),
			want: []doctor.Finding{
				{State: doctor.Problem, Check: "rights", Says: "alice may not delete persistentvolumeclaims in namespace shop", Do: "kubectl create rolebinding helm --clusterrole=edit --user=alice --namespace shop"},
				{State: doctor.Problem, Check: "rights", Says: "alice may not get, create, patch, delete persistentvolumes", Do: "kubectl create clusterrole helm-persistentvolumes --verb=get,create,patch,delete --resource=persistentvolumes && kubectl create clusterrolebinding helm-persistentvolumes --clusterrole=helm-persistentvolumes --user=alice, or use --create cluster, which does not need it"},
			},
		},
		"an outage": {
			client: allow(nil, errors.New("etcd is down")),
			want:   []doctor.Finding{{State: doctor.Problem, Check: "rights", Says: "ask whether you may get persistentvolumeclaims: etcd is down", Do: "kubectl auth can-i get persistentvolumeclaims"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, doctor.Rights(t.Context(), test.client, "shop", all)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
