from tests.package.fixtures import arm, arm_package, x86, x86_package

__all__ = ["arm", "arm_package", "x86", "x86_package"]
