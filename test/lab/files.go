//go:build linux

package lab

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"text/template"
)

//go:embed ceph.conf.tmpl kubeconfig.tmpl manifests
var files embed.FS

// render fills in one of the files.
func render(name string, data any) (string, error) {
	parsed, err := template.New(path.Base(name)).
		Funcs(template.FuncMap{"base64": base64.StdEncoding.EncodeToString, "json": encodeJSON}).
		Option("missingkey=error").ParseFS(files, name)
	if err != nil {
		return "", fmt.Errorf("parse %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	return out.String(), nil
}

func encodeJSON(value any) (string, error) {
	data, err := json.Marshal(value)
	return string(data), err
}
