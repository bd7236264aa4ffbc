package postrender_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	storagev1 "k8s.io/api/storage/v1"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/manifest"
	"github.com/cephferry/cephferry/pkg/postrender"
	"github.com/cephferry/cephferry/pkg/provision"
	"github.com/cephferry/cephferry/pkg/staticpv"
)

// checkRender renders a stream of namespace "shop" and checks what must hold for
// every stream. It returns the output, and false if the stream was refused.
//
//   - A refusal comes before images are asked for, and writes nothing.
//   - Documents that do not mention our annotations keep their bytes and order.
//   - Everything reads as before, apart from the fields that make a claim static
//     and the objects of the pairs.
//   - Rendering the output again returns the same bytes.
func checkRender(t *testing.T, classes []storagev1.StorageClass, input []byte) (output []byte, ok bool) {
	t.Helper()
	images := &counted{}
	renderer := postrender.Renderer{
		Namespace: func(context.Context) (string, error) { return "shop", nil },
		Classes:   func(context.Context) ([]storagev1.StorageClass, error) { return classes, nil },
		Images:    func(context.Context) (postrender.Images, error) { return images, nil },
	}
	var out bytes.Buffer
	_, err := renderer.Render(t.Context(), bytes.NewReader(input), &out)
	output = out.Bytes()
	if err != nil {
		if len(output) > 0 {
			t.Errorf("output beside the error %q:\n%s", err, output)
		}
		if images.asked > 0 {
			t.Errorf("images were asked for before the error: %v", err)
		}
		return nil, false
	}
	if images.asked == 0 && !bytes.Equal(input, output) {
		t.Errorf("no pair was made, and the stream changed (-in +out):\n%s", cmp.Diff(string(input), string(output)))
	}
	checkKept(t, input, output)
	checkMeaning(t, input, output, clear)

	var again bytes.Buffer
	if _, err := renderer.Render(t.Context(), bytes.NewReader(output), &again); err != nil {
		t.Fatalf("second run: %v\n%s", err, output)
	}
	if !bytes.Equal(output, again.Bytes()) {
		t.Errorf("second run changed something (-first +second):\n%s", cmp.Diff(string(output), again.String()))
	}
	return output, true
}

// checkForCluster renders a stream for volumes that the cluster makes, and checks
// what must hold for every stream. It returns false if the stream was refused.
//
//   - A refusal writes nothing.
//   - Documents that do not mention our annotations keep their bytes and order.
//   - Everything reads as before, apart from where a claim names its class, and the
//     number of replicas of a template; nothing is added.
//   - Every migratable claim has the class "", and its annotation names the class
//     that it had.
//   - Rendering the output again returns the same bytes.
func checkForCluster(t *testing.T, input []byte) bool {
	t.Helper()
	var out, again bytes.Buffer
	if _, err := postrender.ForCluster(bytes.NewReader(input), &out); err != nil {
		if out.Len() > 0 {
			t.Errorf("output beside the error %q:\n%s", err, out.String())
		}
		return false
	}
	checkKept(t, input, out.Bytes())
	checkMeaning(t, input, out.Bytes(), func(object map[string]any) {
		for _, claim := range claims(object) {
			setClass(claim)
		}
	})
	if before := objects(input); before != nil {
		after := objects(out.Bytes())
		if len(before) != len(after) {
			t.Errorf("%d objects became %d", len(before), len(after))
		}
		for _, object := range after {
			isClaim := object["apiVersion"] == "v1" && object["kind"] == "PersistentVolumeClaim"
			isSet := object["apiVersion"] == "apps/v1" && object["kind"] == "StatefulSet"
			if !isClaim && !isSet {
				continue // it may only look like a claim
			}
			for _, claim := range claims(object) {
				if class, ok := at(claim, "spec")["storageClassName"]; !ok || class != "" {
					t.Errorf("class %v of a claim that the cluster makes a volume for:\n%s", class, out.String())
				}
			}
		}
	}
	if _, err := postrender.ForCluster(bytes.NewReader(out.Bytes()), &again); err != nil {
		t.Fatalf("second run: %v\n%s", err, out.String())
	}
	if diff := cmp.Diff(out.String(), again.String()); diff != "" {
		t.Errorf("second run changed something (-first +second):\n%s", diff)
	}
	return true
}

// setClass does to a claim what rendering for the cluster does, in another way:
// the two are compared.
func setClass(claim map[string]any) {
	const beta, ours = "volume.beta.kubernetes.io/storage-class", "cephferry.io/class"
	spec, annotations := at(claim, "spec"), at(claim, "metadata", "annotations")
	class := spec["storageClassName"]
	if old, ok := annotations[beta]; ok {
		class = old
	}
	if class != nil && class != "" {
		annotations[ours] = class
	}
	delete(annotations, beta)
	delete(annotations, "cephferry.io/replicas")
	if spec != nil {
		spec["storageClassName"] = ""
	}
}

// objects are those of a stream, nil if Helm cannot read it.
func objects(stream []byte) []map[string]any {
	all, err := meaning(stream, func(map[string]any) {})
	if err != nil {
		return nil
	}
	objects := []map[string]any{}
	for _, one := range all {
		if fields, ok := one.(map[string]any); ok {
			objects = append(objects, fields)
		}
	}
	return objects
}

// counted connects to nothing, and counts the images that it was asked for. It has no key,
// and lets nothing fail for that: streams do not say for which cluster they are.
type counted struct {
	postrender.Untouched
	asked int
}

func (c *counted) Ensure(ctx context.Context, plans []staticpv.Plan) ([]provision.Result, []string) {
	c.asked += len(plans)
	results, notes := c.Untouched.Ensure(ctx, plans)
	for i, result := range results {
		if errors.Is(result.Err, provision.ErrNoKey) {
			results[i].Err = nil
		}
	}
	return results, notes
}

// checkKept looks for the input's foreign documents in the output, in their
// order.
func checkKept(t *testing.T, input, output []byte) {
	t.Helper()
	rest := slices.Collect(manifest.Split(output))
	for document := range manifest.Split(input) {
		if bytes.Contains(document.Body, []byte("cephferry.io")) || bytes.Contains(document.Body, []byte(`\`)) {
			continue
		}
		i := slices.IndexFunc(rest, func(d manifest.Document) bool {
			// The last document of a stream may lack the line end.
			return bytes.Equal(d.Marker, document.Marker) && bytes.Equal(d.Body, document.Body) ||
				bytes.Equal(whole(d), append(whole(document), '\n'))
		})
		if i < 0 {
			t.Errorf("this document did not survive:\n%s%s", document.Marker, document.Body)
			return
		}
		rest = rest[i+1:]
	}
}

func whole(d manifest.Document) []byte { return slices.Concat(d.Marker, d.Body) }

// checkMeaning compares what Helm reads in both streams, apart from what clear
// takes out of each object. It says nothing of streams that Helm itself cannot
// read.
func checkMeaning(t *testing.T, input, output []byte, clear func(map[string]any)) {
	t.Helper()
	for name, reader := range map[string]func([]byte, any) error{"helm 3": readYAML, "helm 4": readAsHelm4} {
		before, err := meaningTo(reader, input, clear)
		if err != nil {
			continue
		}
		after, err := meaningTo(reader, output, clear)
		if err != nil {
			t.Errorf("%s cannot parse the output: %v\n%s", name, err, output)
			return
		}
		compareMeaning(t, before, after)
	}
}

func readYAML(body []byte, into any) error { return yaml.Unmarshal(body, into) }

// readAsHelm4 parses and encodes with kyaml first, as Helm 4 does.
func readAsHelm4(body []byte, into any) error {
	object, err := kyaml.Parse(string(body))
	if errors.Is(err, io.EOF) {
		return nil // comments only
	} else if err != nil {
		return err
	}
	text, err := object.String()
	if err != nil {
		return err
	}
	return yaml.Unmarshal([]byte(text), into)
}

func compareMeaning(t *testing.T, before, after []any) {
	t.Helper()
	for _, object := range after {
		if len(before) > 0 && cmp.Equal(before[0], object) {
			before = before[1:]
		} else if !isNew(object) {
			t.Errorf("an object changed (-in +out):\n%s", cmp.Diff(first(before), object))
			return
		}
	}
	if len(before) > 0 {
		t.Errorf("%d objects are missing, the first is %v", len(before), before[0])
	}
}

func first(objects []any) any {
	if len(objects) == 0 {
		return nil
	}
	return objects[0]
}

// meaning is what a stream says to Helm: the objects in order, those in Lists
// behind what remains of the List.
func meaning(stream []byte, clear func(map[string]any)) ([]any, error) {
	return meaningTo(readYAML, stream, clear)
}

func meaningTo(reader func([]byte, any) error, stream []byte, clear func(map[string]any)) ([]any, error) {
	var all []any
	var add func(object any)
	add = func(object any) {
		fields, ok := object.(map[string]any)
		if !ok {
			all = append(all, object)
			return
		}
		items, isList := fields["items"].([]any)
		kind, _ := fields["kind"].(string)
		typed := kind == "PersistentVolumeClaimList" || kind == "StatefulSetList"
		if isList = isList && (kind == "List" || kind == "ResourceList" || typed); isList {
			delete(fields, "items")
		}
		clear(fields)
		all = append(all, fields)
		if isList {
			for _, item := range items {
				if of, ok := item.(map[string]any); ok && typed && of["kind"] == nil {
					of["apiVersion"], of["kind"] = fields["apiVersion"], strings.TrimSuffix(kind, "List")
				}
				add(item)
			}
		}
	}
	for document := range manifest.Split(stream) {
		var object any
		body := bytes.TrimPrefix(document.Body, []byte("\ufeff"))
		read := reader
		if json.Valid(body) {
			read = json.Unmarshal // knows escapes that YAML does not
		}
		if err := read(body, &object); err != nil {
			return nil, err
		}
		if object != nil {
			add(object)
		}
	}
	return all, nil
}

// clear removes what the renderer sets in a migratable PVC and in migratable
// claim templates.
func clear(object map[string]any) {
	for _, claim := range claims(object) {
		delete(at(claim, "metadata", "annotations"), "volume.beta.kubernetes.io/storage-class")
		delete(at(claim, "spec"), "storageClassName")
		delete(at(claim, "spec"), "volumeName")
	}
}

// clearSizes removes the size too.
func clearSizes(object map[string]any) {
	clear(object)
	for _, claim := range claims(object) {
		delete(at(claim, "spec", "resources", "requests"), "storage")
	}
}

// claims are the migratable claims in an object: itself, or its templates.
func claims(object map[string]any) []map[string]any {
	candidates := []any{object}
	if object["kind"] != "PersistentVolumeClaim" {
		candidates = templates(object)
	}
	var found []map[string]any
	for _, candidate := range candidates {
		claim, _ := candidate.(map[string]any)
		if at(claim, "metadata", "annotations")["cephferry.io/migratable"] == "true" {
			found = append(found, claim)
		}
	}
	return found
}

// templates are the claim templates anywhere in value.
func templates(value any) []any {
	var found []any
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			found = append(found, templates(item)...)
		}
	case map[string]any:
		for key, inner := range value {
			list, isList := inner.([]any)
			switch {
			case key == "volumeClaimTemplates" && isList:
				found = append(found, list...)
			case key == "volumeClaimTemplate":
				found = append(found, inner)
			default:
				found = append(found, templates(inner)...)
			}
		}
	}
	return found
}

// isNew reports whether the object can be one of a pair that was made.
func isNew(object any) bool {
	fields, _ := object.(map[string]any)
	annotations := at(fields, "metadata", "annotations")
	return annotations["cephferry.io/migratable"] == "true" &&
		(fields["kind"] == "PersistentVolume" ||
			fields["kind"] == "PersistentVolumeClaim" && annotations["helm.sh/resource-policy"] == "keep")
}

// at is the mapping at the path, nil if there is none.
func at(fields map[string]any, path ...string) map[string]any {
	for _, name := range path {
		fields, _ = fields[name].(map[string]any)
	}
	return fields
}
