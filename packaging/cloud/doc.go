// Package cloud holds what makes the Debian package of the cloud server. Its
// tests (make test-deb) judge both packages in dist/ and install this one as an
// administrator does, in a copy of this system's file tree that is thrown away.
package cloud
