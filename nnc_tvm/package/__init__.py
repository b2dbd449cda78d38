"""Packages: folders of plain C, a library and a manifest. `write.write_package` makes one, `manifest.read_manifest` reads one."""
