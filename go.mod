module github.com/cephferry/cephferry

go 1.26.0
