// Package storageclass turns a StorageClass into typed settings of the volumes
// it describes. Only a class says where and how a volume lives.
//
// A new class parameter starts in this package: a field in [Class], [RBD] or
// [CephFS] and a line in parameters.go. Package staticpv writes it into the PV.
package storageclass
