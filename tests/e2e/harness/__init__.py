# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests and the demo share: namespaces, certificates, peers, the gateway."""
