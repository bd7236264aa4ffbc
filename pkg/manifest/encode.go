package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"

	k8syaml "sigs.k8s.io/yaml"
)

// NewDocument returns a document that holds object, in the format (YAML or JSON)
// and with the line ends of d.
func (d Document) NewDocument(object any) (Document, error) {
	body, err := d.encode(object)
	if err != nil {
		return Document{}, fmt.Errorf("encode manifest: %w", err)
	}
	made := Document{Marker: []byte("---" + d.LineEnd()), Body: body, Joined: d.Joined}
	if d.Joined {
		made.Marker = nil
	}
	data, err := json.Marshal(object)
	if err != nil {
		return Document{}, fmt.Errorf("encode manifest: %w", err)
	}
	if err := prove(Document{Body: data}, made, nil); err != nil {
		return Document{}, fmt.Errorf("encode manifest: %w", err)
	}
	return made, nil
}

func (d Document) encode(object any) ([]byte, error) {
	var text []byte
	var err error
	if d.isJSON() {
		if text, err = json.MarshalIndent(object, "", "  "); err == nil {
			text = append(text, '\n')
		}
	} else {
		text, err = k8syaml.Marshal(object)
	}
	if err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte(d.LineEnd())), nil
}

// LineEnd is how the lines of d end.
func (d Document) LineEnd() string {
	if bytes.Contains(d.Body, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

func (d Document) isJSON() bool {
	body := withoutBOM(d.Body)
	return bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) && json.Valid(body)
}
