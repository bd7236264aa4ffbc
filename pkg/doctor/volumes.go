package doctor

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"github.com/cephferry/cephferry/pkg/staticpv"
)

// page is how many volumes the API server is asked for at a time.
const page = 500

// Volumes checks the PersistentVolumes of the namespace's claims for what is probably a mistake,
// see [staticpv.Doubts].
func Volumes(ctx context.Context, client dynamic.Interface, namespace string) []Finding {
	const check = "volumes"
	var findings []Finding
	seen, options := 0, metav1.ListOptions{Limit: page}
	for {
		list, err := client.Resource(corev1.SchemeGroupVersion.WithResource("persistentvolumes")).List(ctx, options)
		switch {
		case apierrors.IsForbidden(err):
			return []Finding{Skip(check, "you have no right to look at them (list persistentvolumes); the platform team has")}
		case err != nil:
			return []Finding{problem(check, "kubectl get persistentvolumes", "%v", err)}
		}
		for _, item := range list.Items {
			var pv corev1.PersistentVolume
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &pv); err != nil {
				return []Finding{problem(check, "kubectl get persistentvolumes", "understand PersistentVolume %s: %v", item.GetName(), err)}
			}
			if ref := pv.Spec.ClaimRef; ref == nil || ref.Namespace != namespace {
				continue
			}
			seen++
			for _, doubt := range staticpv.Doubts(&pv) {
				findings = append(findings, problem(check, "kubectl get persistentvolume "+pv.Name+" -o yaml", "PersistentVolume %s, of claim %s/%s: %v", pv.Name, namespace, pv.Spec.ClaimRef.Name, doubt))
			}
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			break
		}
	}
	if len(findings) == 0 {
		findings = append(findings, ok(check, "%d of claims in namespace %s, with nothing to report", seen, namespace))
	}
	return findings
}
