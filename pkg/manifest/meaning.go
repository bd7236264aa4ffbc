package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
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

// asHelm4 returns the text that Helm 4 passes on, to be read as Helm 3 does: it parses the
// document with kyaml and encodes it. What kyaml does is done here with the parser that it
// wraps: all of kyaml would make each start of the program longer by half a millisecond.
func (d Document) asHelm4() (Document, error) {
	if d.isJSON() {
		return d, nil
	}
	var node yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(withoutBOM(d.Body))).Decode(&node); err != nil {
		return Document{}, err
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	if err := errors.Join(encoder.Encode(&node), encoder.Close()); err != nil {
		return Document{}, err
	}
	return Document{Body: text.Bytes()}, nil
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

// prove returns an error unless all who read the document once it left us take after for
// before with the edits.
func prove(before, after Document, edits []Edit) error {
	if err := proveRead("Helm 3 and kubectl read", before, after, edits); err != nil {
		return err
	}
	const helm4 = "Helm 4 reads"
	was, err := before.asHelm4()
	if err != nil {
		return nil
	}
	is, err := after.asHelm4()
	if err != nil {
		return unparsable(helm4, err)
	}
	if bytes.Equal(was.Body, before.Body) && bytes.Equal(is.Body, after.Body) {
		return nil // it reads what Helm 3 does
	}
	return proveRead(helm4, was, is, edits)
}

// proveRead is prove for one reader. One that cannot read before will not read after
// either, and is not asked.
func proveRead(who string, before, after Document, edits []Edit) error {
	want, err := before.Read()
	if err != nil {
		return nil
	}
	if want, err = apply(want, edits); err != nil {
		return err
	}
	got, err := after.Read()
	if err != nil {
		return unparsable(who, err)
	}
	if path, differs := difference(want, got, ""); differs {
		return fmt.Errorf("what %s at %s would change", who, path)
	}
	return nil
}

func unparsable(who string, err error) error {
	return fmt.Errorf("what %s could not be parsed any more: %w", who, err)
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
