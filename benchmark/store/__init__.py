"""What has been run: records and the manifest, in a folder, an object store or an archive."""
