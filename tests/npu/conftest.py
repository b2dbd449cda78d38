from tests.package.fixtures import x86, x86_package

__all__ = ["x86", "x86_package"]
