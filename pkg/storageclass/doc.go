// Package storageclass turns a StorageClass into typed settings of the volumes
// it describes. A class is the only configuration of where and how a volume
// lives.
//
// A new class parameter starts in this package: a field in [Class], [RBD] or
// [CephFS] and a line in parameters.go; package staticpv writes it into the PV.
package storageclass
