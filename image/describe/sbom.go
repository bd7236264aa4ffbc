package main

import (
	"fmt"
	"time"
)

const (
	source   = "https://github.com/cephferry/cephferry"
	document = "SPDXRef-DOCUMENT"
	noClaim  = "NOASSERTION"
)

// These are of https://spdx.github.io/spdx-spec/v2.3/, as far as they are needed.
type (
	spdx struct {
		Version       string         `json:"spdxVersion"`
		License       string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      spdxCreation   `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []spdxRelation `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID        string         `json:"SPDXID"`
		Name      string         `json:"name"`
		Version   string         `json:"versionInfo"`
		Download  string         `json:"downloadLocation"`
		Analyzed  bool           `json:"filesAnalyzed"`
		Purpose   string         `json:"primaryPackagePurpose,omitempty"`
		License   string         `json:"licenseDeclared,omitempty"`
		Checksums []spdxChecksum `json:"checksums,omitempty"`
		Refs      []spdxRef      `json:"externalRefs,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelation struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

// sbom is the bill of materials: the image contains packages and programs, the programs modules.
func (i image) sbom() spdx {
	bill := spdx{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: document, Name: i.name + ":" + i.version,
		Namespace: fmt.Sprintf("%s/spdx/%s-%s", source, i.architecture, i.digest),
		Creation:  spdxCreation{i.created.Format(time.RFC3339), []string{"Tool: " + source + "/image/describe"}},
	}
	whole := bill.add("image", spdxPackage{
		Name: i.name, Version: i.version, Purpose: "CONTAINER", Checksums: []spdxChecksum{{"SHA256", i.digest[len("sha256:"):]}},
		Refs: purl(fmt.Sprintf("pkg:oci/%s@%s?arch=%s&tag=%s", "webhook", escaped(i.digest), i.architecture, escaped(i.version))),
	})
	bill.relate(document, "DESCRIBES", whole)
	for _, p := range i.packages {
		bill.relate(whole, "CONTAINS", bill.add("package", spdxPackage{Name: p.name, Version: p.version, Refs: purl(p.purl)}))
	}
	modules := map[string]string{}
	for _, m := range i.modules() {
		modules[m.purl()] = bill.add("module", spdxPackage{Name: m.path, Version: m.version, Purpose: "LIBRARY", Refs: purl(m.purl())})
	}
	for _, p := range i.programs {
		id := bill.add("program", spdxPackage{
			Name: p.name, Version: i.version, Purpose: "APPLICATION", License: "Apache-2.0", Checksums: []spdxChecksum{{"SHA256", p.sha256}},
			Refs: purl(module{path: p.info.Main.Path, version: i.version}.purl()),
		})
		bill.relate(whole, "CONTAINS", id)
		for _, m := range p.modules() {
			bill.relate(id, "DEPENDS_ON", modules[m.purl()])
		}
	}
	return bill
}

// add gives a package an identifier and returns it.
func (s *spdx) add(kind string, p spdxPackage) string {
	p.ID, p.Download = fmt.Sprintf("SPDXRef-%s-%d", kind, len(s.Packages)), noClaim
	s.Packages = append(s.Packages, p)
	return p.ID
}

func (s *spdx) relate(from, what, to string) {
	s.Relationships = append(s.Relationships, spdxRelation{from, what, to})
}

func purl(locator string) []spdxRef { return []spdxRef{{"PACKAGE-MANAGER", "purl", locator}} }
