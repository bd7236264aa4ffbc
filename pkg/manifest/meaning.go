package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
	k8syaml "sigs.k8s.io/yaml"
)

// Read returns what the document says to Helm 3 and kubectl, which read it with
// sigs.k8s.io/yaml: nil, bool, string, [json.Number], []any or map[string]any.
// It is nil for a document without content. Keys that stand twice are no error
// there, and the last one counts; merge keys are replaced in the order in which
// they stand.
func (d Document) Read() (any, error) {
	body := withoutBOM(d.Body)
	if d.isJSON() {
		return decodeJSON(body) // knows escapes that YAML does not
	}
	data, err := k8syaml.YAMLToJSON(body)
	if err != nil {
		return nil, err
	}
	return decodeJSON(data)
}

// readAsHelm4 returns what the document says to Helm 4, which parses it with kyaml,
// encodes it, and reads that as Helm 3 does. What kyaml does is done here with the parser
// that it wraps: with all of kyaml, each start of the program takes a millisecond longer.
func (d Document) readAsHelm4() (any, error) {
	if d.isJSON() {
		return d.Read()
	}
	var node yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(withoutBOM(d.Body))).Decode(&node); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	if err := encoder.Encode(&node); err != nil {
		return nil, err
	}
	if err := encoder.Close(); err != nil {
		return nil, err
	}
	return Document{Body: text.Bytes()}.Read()
}

func decodeJSON(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}

// At returns what a document says at the path, keys of mappings and indexes of lists, or nil.
func At(value any, path []string) any {
	for _, step := range path {
		switch parent := value.(type) {
		case map[string]any:
			value = parent[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(parent) {
				return nil
			}
			value = parent[i]
		default:
			return nil
		}
	}
	return value
}

// readers are the ways in which a document is read once it left us.
var readers = []struct {
	who  string
	read func(Document) (any, error)
}{
	{"Helm 3 and kubectl read", Document.Read},
	{"Helm 4 reads", Document.readAsHelm4},
}

// prove returns an error unless every reader takes after for before with the edits.
// A reader that cannot read before will not read after either, and is not asked.
func prove(before, after Document, edits []Edit) error {
	for _, reader := range readers {
		want, err := reader.read(before)
		if err != nil {
			continue
		}
		if want, err = apply(want, edits); err != nil {
			return err
		}
		got, err := reader.read(after)
		if err != nil {
			return fmt.Errorf("what %s could not be parsed any more: %w", reader.who, err)
		}
		if path, differs := difference(want, got, ""); differs {
			return fmt.Errorf("what %s at %s would change", reader.who, path)
		}
	}
	return nil
}

// difference returns the path of the first value in which two documents differ.
func difference(a, b any, path string) (string, bool) {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := slices.Collect(maps.Keys(a))
		for key := range b {
			if _, ok := a[key]; !ok {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			left, inA := a[key]
			right, inB := b[key]
			at := join(path, key)
			if inA != inB {
				return at, true
			}
			if at, differs := difference(left, right, at); differs {
				return at, true
			}
		}
		return "", false
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			break
		}
		for i := range a {
			if at, differs := difference(a[i], b[i], fmt.Sprintf("%s[%d]", path, i)); differs {
				return at, true
			}
		}
		return "", false
	}
	if reflect.DeepEqual(a, b) {
		return "", false
	}
	if path == "" {
		path = "the top"
	}
	return path, true
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
