"""HTTP: authentication, the Huawei-compatible operations, downloads, health."""
