package doctor

import (
	"context"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Right is what a person may do with a kind of object.
type Right struct {
	Group, Resource string
	Verbs           []string
	// Everywhere means the whole cluster, not the release's namespace.
	Everywhere bool
}

// ReleaseRights are what helm needs in the release's namespace, for what
// postrender looks at and for the record of the release.
func ReleaseRights() []Right {
	verbs := []string{"get", "list", "create", "patch", "delete"}
	return []Right{
		{Resource: "persistentvolumeclaims", Verbs: verbs},
		{Group: "apps", Resource: "statefulsets", Verbs: verbs},
		{Resource: "secrets", Verbs: append(verbs, "update")},
	}
}

// PairRights are what rendered pairs need besides.
func PairRights() Right {
	return Right{Resource: "persistentvolumes", Verbs: []string{"get", "create", "patch", "delete"}, Everywhere: true}
}

// Rights checks each right, and says what grants those that are missing.
func Rights(ctx context.Context, client dynamic.Interface, namespace string, wanted []Right) []Finding {
	const check = "rights"
	var findings []Finding
	var granted []string
	for _, right := range wanted {
		var missing []string
		for _, verb := range right.Verbs {
			allowed, err := right.allowed(ctx, client, namespace, verb)
			if err != nil {
				return []Finding{problem(check, "kubectl auth can-i "+verb+" "+right.Resource, "ask whether you may %s %s: %v", verb, right.Resource, err)}
			}
			if !allowed {
				missing = append(missing, verb)
			}
		}
		if len(missing) > 0 {
			user := whoAmI(ctx, client)
			findings = append(findings, problem(check, right.grant(user, namespace), "%s may not %s %s%s", user, strings.Join(missing, ", "), right.Resource, right.where(namespace)))
			continue
		}
		granted = append(granted, right.Resource)
	}
	if len(findings) == 0 {
		findings = append(findings, ok(check, "enough for %s, in namespace %s", strings.Join(granted, ", "), namespace))
	}
	return findings
}

func (r Right) where(namespace string) string {
	if r.Everywhere {
		return ""
	}
	return " in namespace " + namespace
}

func (r Right) allowed(ctx context.Context, client dynamic.Interface, namespace, verb string) (bool, error) {
	attributes := &authorizationv1.ResourceAttributes{Group: r.Group, Resource: r.Resource, Verb: verb}
	if !r.Everywhere {
		attributes.Namespace = namespace
	}
	var answer authorizationv1.SelfSubjectAccessReview
	err := review(ctx, client, authorizationv1.SchemeGroupVersion.WithResource("selfsubjectaccessreviews"), "SelfSubjectAccessReview",
		map[string]any{"resourceAttributes": attributes}, &answer)
	return answer.Status.Allowed, err
}

// grant is a command for somebody who may give rights.
func (r Right) grant(user, namespace string) string {
	if !r.Everywhere {
		return fmt.Sprintf("kubectl create rolebinding helm --clusterrole=edit --user=%s --namespace %s", user, namespace)
	}
	name := "helm-" + r.Resource
	return fmt.Sprintf("kubectl create clusterrole %s --verb=%s --resource=%s && kubectl create clusterrolebinding %s --clusterrole=%s --user=%s, or use --create cluster, which does not need it",
		name, strings.Join(r.Verbs, ","), r.Resource, name, name, user)
}

// whoAmI is the name that the API server has for us, for a command that people
// complete if it is not known.
func whoAmI(ctx context.Context, client dynamic.Interface) string {
	var answer authenticationv1.SelfSubjectReview
	err := review(ctx, client, authenticationv1.SchemeGroupVersion.WithResource("selfsubjectreviews"), "SelfSubjectReview", nil, &answer)
	if err != nil || answer.Status.UserInfo.Username == "" {
		return "USER"
	}
	return answer.Status.UserInfo.Username
}

func review(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource, kind string, spec map[string]any, into any) error {
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": resource.GroupVersion().String(), "kind": kind}}
	for name, value := range spec {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(value)
		if err != nil {
			return err
		}
		if err := unstructured.SetNestedMap(object.Object, fields, "spec", name); err != nil {
			return err
		}
	}
	answer, err := client.Resource(resource).Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(answer.Object, into)
}
