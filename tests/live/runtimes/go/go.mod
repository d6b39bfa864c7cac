module tlspeer

go 1.17
