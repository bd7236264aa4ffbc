package main

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// buildType says what the parameters mean; docs/image.md explains it.
const buildType = source + "/blob/main/docs/image.md#provenance"

// These are of https://in-toto.io/Statement/v1 and https://slsa.dev/provenance/v1.
type (
	statement struct {
		Type          string     `json:"_type"`
		Subject       []resource `json:"subject"`
		PredicateType string     `json:"predicateType"`
		Predicate     predicate  `json:"predicate"`
	}
	resource struct {
		Name   string            `json:"name,omitempty"`
		URI    string            `json:"uri,omitempty"`
		Digest map[string]string `json:"digest,omitempty"`
	}
	predicate struct {
		Definition definition `json:"buildDefinition"`
		Details    details    `json:"runDetails"`
	}
	definition struct {
		BuildType  string            `json:"buildType"`
		Parameters map[string]string `json:"externalParameters"`
		Materials  []resource        `json:"resolvedDependencies"`
	}
	details struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	}
)

// provenance says what the image and its programs were made from.
func (i image) provenance() (statement, error) {
	digest, err := digestSet(i.digest)
	if err != nil {
		return statement{}, fmt.Errorf("--digest: %w", err)
	}
	base, err := digestSet(i.baseDigest)
	if err != nil {
		return statement{}, fmt.Errorf("--base-digest: %w", err)
	}
	s := statement{Type: "https://in-toto.io/Statement/v1", PredicateType: "https://slsa.dev/provenance/v1"}
	s.Subject = []resource{{Name: i.name, Digest: digest}}
	for _, p := range i.programs {
		s.Subject = append(s.Subject, resource{Name: p.name, Digest: map[string]string{"sha256": p.sha256}})
	}
	made := &s.Predicate.Definition
	made.BuildType = buildType
	made.Parameters = map[string]string{"version": i.version, "platform": "linux/" + i.architecture, "baseImage": i.base}
	made.Materials = []resource{
		{URI: "git+" + source, Digest: map[string]string{"gitCommit": i.commit}},
		{URI: "oci:" + i.base, Digest: base},
	}
	for _, m := range i.modules() {
		material := resource{URI: m.purl()}
		if m.sum != "" {
			hash, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:"))
			if err != nil {
				return statement{}, fmt.Errorf("module %s: sum %q: %w", m.path, m.sum, err)
			}
			// in-toto's word for h1, in hex.
			material.Digest = map[string]string{"dirHash": fmt.Sprintf("%x", hash)}
		}
		made.Materials = append(made.Materials, material)
	}
	s.Predicate.Details.Builder.ID = i.builder
	return s, nil
}
