package doctor

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/dynamic"

	"github.com/cephferry/cephferry/pkg/count"
)

// Cluster checks that the API server answers: serverVersion asks it for its version.
func Cluster(ctx context.Context, serverVersion func(context.Context) (string, error), url string) Finding {
	v, err := serverVersion(ctx)
	if err != nil {
		return problem("cluster", "kubectl cluster-info, and pass --kubeconfig and --kube-context if it is not the cluster you mean", "%s: %v", url, err)
	}
	return ok("cluster", "Kubernetes %s, %s", v, url)
}

// installed selects what the chart makes.
const installed = "app.kubernetes.io/name=cephferry"

// Installation checks that cephferry runs in the cluster, and fits this version.
func Installation(ctx context.Context, client dynamic.Interface, self Self) Finding {
	const check = "cephferry"
	configurations, err := client.Resource(admissionv1.SchemeGroupVersion.WithResource("validatingwebhookconfigurations")).
		List(ctx, metav1.ListOptions{LabelSelector: installed})
	switch {
	case apierrors.IsForbidden(err):
		return Skip(check, "you have no right to see whether it is installed (list validatingwebhookconfigurations); the platform team has")
	case err != nil:
		return problem(check, "kubectl get validatingwebhookconfigurations", "%v", err)
	case len(configurations.Items) == 0:
		return problem(check, "helm install cephferry charts/cephferry --namespace cephferry-system --create-namespace --set cluster.name=NAME", "it is not installed in this cluster: nobody makes volumes, and nothing keeps two clusters off one image")
	}
	var configuration admissionv1.ValidatingWebhookConfiguration
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(configurations.Items[0].Object, &configuration); err != nil {
		return problem(check, "kubectl get validatingwebhookconfigurations", "%v", err)
	}
	namespace := ""
	for _, webhook := range configuration.Webhooks {
		if webhook.ClientConfig.Service != nil {
			namespace = webhook.ClientConfig.Service.Namespace
		}
	}
	return running(ctx, client, namespace, self)
}

// running checks the Deployment in that namespace.
func running(ctx context.Context, client dynamic.Interface, namespace string, self Self) Finding {
	const check = "cephferry"
	look := fmt.Sprintf("kubectl --namespace %s get deployments,pods --selector %s", namespace, installed)
	list, err := client.Resource(appsv1.SchemeGroupVersion.WithResource("deployments")).Namespace(namespace).
		List(ctx, metav1.ListOptions{LabelSelector: installed})
	switch {
	case apierrors.IsForbidden(err):
		return Skip(check, "it is installed, and you have no right to see whether it runs (list deployments in namespace %s); the platform team has", namespace)
	case err != nil:
		return problem(check, look, "%v", err)
	case len(list.Items) == 0:
		return problem(check, look, "its webhooks point to namespace %s, which has no Deployment of it", namespace)
	}
	var deployment appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[0].Object, &deployment); err != nil {
		return problem(check, look, "%v", err)
	}
	if deployment.Status.ReadyReplicas == 0 {
		return problem(check, fmt.Sprintf("kubectl --namespace %s logs deployment/%s", namespace, deployment.Name), "no pod of Deployment %s/%s is ready", namespace, deployment.Name)
	}
	theirs := deployment.Labels["app.kubernetes.io/version"]
	if !sameMinor(theirs, self.Version) {
		return problem(check, "use the renderer of that version, or upgrade the chart to this one", "the cluster runs version %s, and this is %s", theirs, self.Version)
	}
	return ok(check, "version %s in namespace %s, %d of %s ready", theirs, namespace, deployment.Status.ReadyReplicas, count.Of(deployment.Status.Replicas, "pod"))
}

// sameMinor reports whether two versions may work together.
func sameMinor(theirs, mine string) bool {
	if mine == unversioned {
		return true
	}
	a, err := version.ParseSemantic(theirs)
	if err != nil {
		return false
	}
	b, err := version.ParseSemantic(mine)
	if err != nil {
		return false
	}
	return a.Major() == b.Major() && a.Minor() == b.Minor()
}
