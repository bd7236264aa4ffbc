// Package kubeyaml writes Kubernetes objects as YAML, the way people write them.
package kubeyaml

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Of returns an object, a pointer to one of client-go's types, as YAML without its status, and
// without the null that a creation time which is not set would be.
func Of(object any) ([]byte, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	delete(fields, "status")
	unstructured.RemoveNestedField(fields, "metadata", "creationTimestamp")
	return yaml.Marshal(fields)
}
