//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	yamlutil "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// api is an API server, and a client that is a cluster administrator: for what is done so
// often that kubectl, which takes longer to start than that, would be most of the work.
type api struct {
	url    string
	client *http.Client

	mu        sync.Mutex
	resources map[string][]metav1.APIResource // by the path of their group and version
}

// get is a check that the path answers 200.
func (a *api) get(path string) func(context.Context) error {
	return get(a.client, a.url+path)
}

// read reads the object at the path.
func (a *api) read(ctx context.Context, path string, object any) error {
	data, err := fetch(ctx, a.client, http.MethodGet, a.url+path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, object)
}

// apply applies manifests as `kubectl apply --server-side` does: one after the other, and the
// rest of them also after one that is refused. The namespace is for objects that name none.
func (a *api) apply(ctx context.Context, namespace, manifests string) error {
	var failures []error
	for documents := yamlutil.NewYAMLReader(bufio.NewReader(strings.NewReader(manifests))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return errors.Join(failures...)
		} else if err != nil {
			return errors.Join(append(failures, err)...)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			failures = append(failures, fmt.Errorf("read manifest: %w\n%s", err, document))
		} else if len(object.Object) > 0 { // not only a comment
			failures = append(failures, a.applyObject(ctx, namespace, object))
		}
	}
}

func (a *api) applyObject(ctx context.Context, namespace string, object *unstructured.Unstructured) error {
	group := "/apis/" + object.GetAPIVersion()
	if object.GetAPIVersion() == "v1" {
		group = "/api/v1"
	}
	resource, err := a.resource(ctx, group, object.GetKind())
	if err != nil {
		return fmt.Errorf("apply %s %q: %w", object.GetKind(), object.GetName(), err)
	}
	path := group
	if resource.Namespaced {
		object.SetNamespace(cmp.Or(object.GetNamespace(), namespace))
		path += "/namespaces/" + url.PathEscape(object.GetNamespace())
	}
	path += "/" + resource.Name + "/" + url.PathEscape(object.GetName()) + "?fieldManager=kubectl&fieldValidation=Strict"
	data, err := json.Marshal(object.Object)
	if err == nil {
		_, err = fetch(ctx, a.client, http.MethodPatch, a.url+path, data)
	}
	if err != nil {
		return fmt.Errorf("apply %s %q: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

// resource is how the API server calls objects of a kind. A kind that is not known may have
// come since it was asked.
func (a *api) resource(ctx context.Context, group, kind string) (metav1.APIResource, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, known := range []bool{true, false} {
		if !known {
			var list metav1.APIResourceList
			if err := a.read(ctx, group, &list); err != nil {
				return metav1.APIResource{}, err
			}
			a.resources[group] = list.APIResources
		}
		for _, resource := range a.resources[group] {
			if resource.Kind == kind && !strings.Contains(resource.Name, "/") {
				return resource, nil
			}
		}
	}
	return metav1.APIResource{}, fmt.Errorf("%s has no such kind", group)
}

// get is a check that url answers 200.
func get(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := fetch(ctx, client, http.MethodGet, url, nil)
		return err
	}
}

// fetch returns what url answers, if that is a success. What is sent is a patch by
// server-side apply.
func fetch(ctx context.Context, client *http.Client, method, url string, send []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(send))
	if err != nil {
		return nil, err
	}
	if send != nil {
		request.Header.Set("Content-Type", "application/apply-patch+yaml")
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if response.StatusCode/100 != 2 {
		var status metav1.Status
		if json.Unmarshal(body, &status) != nil || status.Message == "" {
			status.Message = fmt.Sprintf("%.1000s", body)
		}
		return nil, fmt.Errorf("%s %s: %s: %s", strings.ToLower(method), url, response.Status, status.Message)
	}
	return body, err
}
