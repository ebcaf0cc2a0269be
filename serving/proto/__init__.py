"""Messages of the gRPC services, generated from the .proto files beside them by `make proto`."""
